/**
 * A buffer used again from one block to the next: fresh memory of megabytes for each costs page faults and garbage
 * collections, together more than many of the loops over it. What it held before is not cleared.
 */

/** Larger ones are not kept. */
const KEPT_BYTES_MAX = 16 << 20;

export class ScratchBytes {
  #kept = new Uint8Array(0);

  /** At least `byteCount` bytes of whatever; the next call may give the same ones. */
  take(byteCount: number): Uint8Array {
    if (byteCount <= this.#kept.length) return this.#kept;
    const bytes = new Uint8Array(byteCount);
    if (byteCount <= KEPT_BYTES_MAX) this.#kept = bytes;
    return bytes;
  }
}
