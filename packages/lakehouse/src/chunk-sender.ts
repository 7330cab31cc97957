/**
 * Bytes to chunks of one size, each a record batch `(chunk_id, chunk_data)` of one row, through a bounded
 * channel. A full channel makes `writeAll` wait, and that is all the backpressure there is: no polling, no state
 * between two calls but the bytes that do not fill a chunk yet.
 */

import type { BoundedChannel } from '@tracelake/channels';
import { assert } from '@tracelake/domain';
import { Binary, Field, Int32, makeData, RecordBatch, Schema, Struct } from 'apache-arrow';

const FIELDS = [
  new Field('chunk_id', new Int32(), false),
  new Field('chunk_data', new Binary(), false),
];

/** The schema of chunks: `chunk_id` int32 from 0 up, `chunk_data` binary. */
export const chunkSchema = new Schema<ChunkColumns>(FIELDS);

export type ChunkColumns = { readonly chunk_id: Int32; readonly chunk_data: Binary };

export type ChunkBatch = RecordBatch<ChunkColumns>;

const CHUNKS_MAX = 2 ** 31;

/**
 * Sends chunks of exactly `chunkBytes`; only `flush` ends a shorter one. For one writer: await each call before
 * the next. It neither closes nor fails the channel.
 */
export class ChunkSender {
  readonly #channel: BoundedChannel<ChunkBatch>;
  readonly #chunkBytes: number;
  readonly #signal: AbortSignal | undefined;
  #chunk: Uint8Array;
  #filled = 0;
  #nextChunkId = 0;

  constructor(channel: BoundedChannel<ChunkBatch>, chunkBytes: number, signal?: AbortSignal) {
    assert(Number.isInteger(chunkBytes) && chunkBytes >= 1, 'a chunk holds a byte');
    this.#channel = channel;
    this.#chunkBytes = chunkBytes;
    this.#signal = signal;
    this.#chunk = new Uint8Array(chunkBytes);
  }

  /** Chunks sent so far. */
  get chunkCount(): number {
    return this.#nextChunkId;
  }

  /**
   * Takes a copy of `bytes`, sending each chunk as it fills. Errors: `ChannelClosedError` when the reader is
   * gone, the signal's reason when it aborts.
   */
  async writeAll(bytes: Uint8Array): Promise<void> {
    let taken = 0;
    while (taken < bytes.length) {
      const size = Math.min(bytes.length - taken, this.#chunkBytes - this.#filled);
      this.#chunk.set(bytes.subarray(taken, taken + size), this.#filled);
      this.#filled += size;
      taken += size;
      if (this.#filled === this.#chunkBytes) await this.#send();
    }
  }

  /** Sends what is there as a shorter chunk; nothing when nothing is there. Errors: as `writeAll`. */
  async flush(): Promise<void> {
    if (this.#filled > 0) await this.#send();
  }

  async #send(): Promise<void> {
    assert(this.#nextChunkId < CHUNKS_MAX, 'chunk ids are int32');
    const batch = chunkBatchOf(this.#nextChunkId, this.#chunk.subarray(0, this.#filled));
    this.#nextChunkId++;
    this.#chunk = new Uint8Array(this.#chunkBytes);
    this.#filled = 0;
    await this.#channel.send(batch, this.#signal);
  }
}

/** A batch of one row over `bytes`, which it keeps. */
function chunkBatchOf(chunkId: number, bytes: Uint8Array): ChunkBatch {
  const valueOffsets = Int32Array.of(0, bytes.length);
  const children = [
    makeData({ type: new Int32(), length: 1, nullCount: 0, data: Int32Array.of(chunkId) }),
    makeData({ type: new Binary(), length: 1, nullCount: 0, valueOffsets, data: bytes }),
  ];
  const type = new Struct<ChunkColumns>(FIELDS);
  return new RecordBatch(chunkSchema, makeData({ type, length: 1, nullCount: 0, children }));
}
