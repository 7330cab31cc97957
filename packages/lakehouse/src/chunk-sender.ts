/**
 * Bytes to chunks of one size, each worth a record batch `(chunk_id, chunk_data)` of one row, through a bounded
 * channel. The batch is made for those who want Arrow; making it costs more than filling the chunk. A full channel makes `writeAll` wait, and that is all the backpressure there is: no polling, no state
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

/** Chunks are cut from blocks of about this size: one allocation for many. */
const BLOCK_BYTES = 128 * 1024;

/** One chunk. Its bytes are its own and never change. */
export class Chunk {
  /** From 0 up. */
  readonly id: number;
  readonly data: Uint8Array<ArrayBuffer>;

  constructor(id: number, data: Uint8Array<ArrayBuffer>) {
    this.id = id;
    this.data = data;
  }

  /** The chunk as a record batch of one row over the same bytes. */
  toRecordBatch(): ChunkBatch {
    const { id, data } = this;
    const valueOffsets = Int32Array.of(0, data.length);
    const children = [
      makeData({ type: new Int32(), length: 1, nullCount: 0, data: Int32Array.of(id) }),
      makeData({ type: new Binary(), length: 1, nullCount: 0, valueOffsets, data }),
    ];
    const type = new Struct<ChunkColumns>(FIELDS);
    return new RecordBatch(chunkSchema, makeData({ type, length: 1, nullCount: 0, children }));
  }
}

/**
 * Sends chunks of exactly `chunkBytes`; only `flush` ends a shorter one. For one writer: await each call before
 * the next. It neither closes nor fails the channel.
 */
export class ChunkSender {
  readonly #channel: BoundedChannel<Chunk>;
  readonly #chunkBytes: number;
  readonly #signal: AbortSignal | undefined;
  /** Chunks are cut from it one after the other. */
  #block: Uint8Array<ArrayBuffer>;
  /** Where the chunk being filled starts in the block. */
  #start = 0;
  #filled = 0;
  #nextChunkId = 0;

  constructor(channel: BoundedChannel<Chunk>, chunkBytes: number, signal?: AbortSignal) {
    assert(Number.isInteger(chunkBytes) && chunkBytes >= 1, 'a chunk holds a byte');
    this.#channel = channel;
    this.#chunkBytes = chunkBytes;
    this.#signal = signal;
    this.#block = this.#allocateBlock();
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
      const whole = size === bytes.length;
      this.#block.set(whole ? bytes : bytes.subarray(taken, taken + size), this.#end);
      this.#filled += size;
      taken += size;
      if (this.#filled === this.#chunkBytes) await this.#send();
    }
  }

  /** Sends what is there as a shorter chunk; nothing when nothing is there. Errors: as `writeAll`. */
  async flush(): Promise<void> {
    if (this.#filled > 0) await this.#send();
  }

  get #end(): number {
    return this.#start + this.#filled;
  }

  #allocateBlock(): Uint8Array<ArrayBuffer> {
    const chunks = Math.max(1, Math.floor(BLOCK_BYTES / this.#chunkBytes));
    return Buffer.allocUnsafeSlow(chunks * this.#chunkBytes);
  }

  async #send(): Promise<void> {
    assert(this.#nextChunkId < CHUNKS_MAX, 'chunk ids are int32');
    const chunk = new Chunk(this.#nextChunkId, this.#block.subarray(this.#start, this.#end));
    this.#nextChunkId++;
    this.#start += this.#chunkBytes;
    this.#filled = 0;
    if (this.#start === this.#block.length) {
      this.#block = this.#allocateBlock();
      this.#start = 0;
    }
    await this.#channel.send(chunk, this.#signal);
  }
}
