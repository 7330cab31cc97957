/**
 * What the blocks of a stream need of it: whose it is, and its tags, so that the announcement of a block says which
 * views may want it. Bounded: the least recently used stream is forgotten first, and looked up again.
 */
import type { StreamId } from '@tracelake/domain';
import type { StreamOwner, StreamRepository } from '@tracelake/storage';

export interface KnownStreamsOptions {
  readonly streams: Pick<StreamRepository, 'findOwner'>;
  readonly streamsMax?: number;
  /** For how long a stream that was not found is not looked for again, lest each of its blocks costs a statement. */
  readonly missMs?: number;
}

interface Known {
  /** Undefined while it has not come. */
  readonly owner: StreamOwner | undefined;
  readonly untilMs: number;
}

const LOOKUP_TIMEOUT_MS = 2000;

export class KnownStreams {
  readonly #options: Required<KnownStreamsOptions>;
  readonly #known = new Map<StreamId, Known>();
  readonly #lookups = new Map<StreamId, Promise<StreamOwner | undefined>>();

  constructor(options: KnownStreamsOptions) {
    this.#options = { streamsMax: 10_000, missMs: 1000, ...options };
  }

  /** Only for what the row has: of a stream that is sent again the first write counts. */
  remember(streamId: StreamId, owner: StreamOwner): void {
    this.#put(streamId, { owner, untilMs: Number.POSITIVE_INFINITY });
  }

  /** Undefined while the stream has not come, or when the database does not answer: never awaited for long. */
  async find(streamId: StreamId): Promise<StreamOwner | undefined> {
    const known = this.#known.get(streamId);
    if (known !== undefined && performance.now() < known.untilMs) {
      this.#put(streamId, known);
      return known.owner;
    }
    let lookup = this.#lookups.get(streamId);
    if (lookup === undefined) {
      lookup = this.#lookUp(streamId).finally(() => this.#lookups.delete(streamId));
      this.#lookups.set(streamId, lookup);
    }
    return lookup;
  }

  async #lookUp(streamId: StreamId): Promise<StreamOwner | undefined> {
    const signal = AbortSignal.timeout(LOOKUP_TIMEOUT_MS);
    const owner = await this.#options.streams.findOwner(streamId, signal).catch(() => undefined);
    // It may have come, through here, while the database was asked.
    const meanwhile = this.#known.get(streamId)?.owner;
    if (meanwhile !== undefined) return meanwhile;
    if (owner !== undefined) this.remember(streamId, owner);
    else this.#put(streamId, { owner, untilMs: performance.now() + this.#options.missMs });
    return owner;
  }

  #put(streamId: StreamId, known: Known): void {
    this.#known.delete(streamId);
    this.#known.set(streamId, known);
    for (const oldest of this.#known.keys()) {
      if (this.#known.size <= this.#options.streamsMax) break;
      this.#known.delete(oldest);
    }
  }
}
