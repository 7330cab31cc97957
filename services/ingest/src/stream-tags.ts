/**
 * The tags of streams, so that the announcement of a block says which views may want it. Bounded: the least
 * recently used stream is forgotten first, and looked up again when it matters.
 */
import type { StreamId } from '@tracelake/domain';
import type { StreamRepository } from '@tracelake/storage';

const STREAMS_MAX = 10_000;
const LOOKUP_TIMEOUT_MS = 2000;

export class StreamTags {
  readonly #streams: Pick<StreamRepository, 'find'>;
  readonly #streamsMax: number;
  readonly #known = new Map<StreamId, readonly string[]>();
  readonly #lookups = new Map<StreamId, Promise<readonly string[]>>();

  constructor(streams: Pick<StreamRepository, 'find'>, streamsMax = STREAMS_MAX) {
    this.#streams = streams;
    this.#streamsMax = streamsMax;
  }

  /** Only for tags that the row has: of a stream that is sent again the first write counts. */
  remember(streamId: StreamId, tags: readonly string[]): void {
    this.#known.delete(streamId);
    this.#known.set(streamId, tags);
    for (const oldest of this.#known.keys()) {
      if (this.#known.size <= this.#streamsMax) break;
      this.#known.delete(oldest);
    }
  }

  /** Empty while the stream has not come, or when the database does not answer: a hint, never awaited for long. */
  async find(streamId: StreamId): Promise<readonly string[]> {
    const known = this.#known.get(streamId);
    if (known !== undefined) {
      this.remember(streamId, known);
      return known;
    }
    let lookup = this.#lookups.get(streamId);
    if (lookup === undefined) {
      lookup = this.#lookUp(streamId).finally(() => this.#lookups.delete(streamId));
      this.#lookups.set(streamId, lookup);
    }
    return lookup;
  }

  async #lookUp(streamId: StreamId): Promise<readonly string[]> {
    try {
      const stream = await this.#streams.find(streamId, AbortSignal.timeout(LOOKUP_TIMEOUT_MS));
      if (stream === undefined) return [];
      this.remember(streamId, stream.tags);
      return stream.tags;
    } catch {
      return [];
    }
  }
}
