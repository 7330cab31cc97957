/**
 * Memory of columns that a thread uses again from one run to the next. Fresh memory of tens of megabytes a run costs a
 * page fault for each 4 KiB of it, and collections of garbage: V8 counts it into its heap, which is a few megabytes
 * otherwise, and collects whenever that has grown by sixteen.
 */

/** Less is left to the collector. */
const REUSED_BYTES_MIN = 64 * 1024;

/** Sizes are rounded up to it, so that runs of a little more or fewer rows find memory that fits. */
const GRANULE_BYTES = 512 * 1024;

/** More than the columns of a run of 2^20 events take. */
const KEPT_BYTES_MAX = 64 * 2 ** 20;

/** What it gives out holds whatever it held before. */
export class ColumnMemory {
  readonly #kept = new Set<ArrayBuffer>();
  #keptBytes = 0;

  /** Bytes that wait to be used again. */
  get keptBytes(): number {
    return this.#keptBytes;
  }

  bigInt64(length: number): BigInt64Array<ArrayBuffer> {
    return new BigInt64Array(this.#take(length * 8), 0, length);
  }

  float64(length: number): Float64Array<ArrayBuffer> {
    return new Float64Array(this.#take(length * 8), 0, length);
  }

  int32(length: number): Int32Array<ArrayBuffer> {
    return new Int32Array(this.#take(length * 4), 0, length);
  }

  uint32(length: number): Uint32Array<ArrayBuffer> {
    return new Uint32Array(this.#take(length * 4), 0, length);
  }

  uint8(length: number): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.#take(length), 0, length);
  }

  /** Takes memory that nobody uses any more, wherever it came from; what is too much or too little is freed. */
  give(buffer: ArrayBufferLike): void {
    if (!(buffer instanceof ArrayBuffer) || buffer.detached || this.#kept.has(buffer)) return;
    const { byteLength } = buffer;
    if (byteLength < REUSED_BYTES_MIN || this.#keptBytes + byteLength > KEPT_BYTES_MAX) {
      buffer.transfer(0);
      return;
    }
    this.#kept.add(buffer);
    this.#keptBytes += byteLength;
  }

  /** Frees what waits to be used again, at once and not when garbage is next collected. */
  free(): void {
    for (const buffer of this.#kept) buffer.transfer(0);
    this.#kept.clear();
    this.#keptBytes = 0;
  }

  /** The smallest that is large enough and not twice as large. */
  #take(byteLength: number): ArrayBuffer {
    if (byteLength < REUSED_BYTES_MIN) return new ArrayBuffer(byteLength);
    let best: ArrayBuffer | undefined;
    for (const buffer of this.#kept) {
      if (buffer.byteLength < byteLength || buffer.byteLength > byteLength * 2) continue;
      if (best === undefined || buffer.byteLength < best.byteLength) best = buffer;
    }
    if (best === undefined) {
      return new ArrayBuffer(Math.ceil(byteLength / GRANULE_BYTES) * GRANULE_BYTES);
    }
    this.#kept.delete(best);
    this.#keptBytes -= best.byteLength;
    return best;
  }
}

/** That of this thread. Columns of finished runs are made of it; whoever is done with them gives them back. */
export const columnMemory = new ColumnMemory();
