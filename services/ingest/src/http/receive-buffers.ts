/**
 * Memory that bodies are received into, used again for the next ones: fresh megabytes cost a page fault for every
 * 4 KiB, and the collector of garbage hurries when much memory hangs on few objects.
 */

/** What lies ready at most; what comes back beyond it is left to the collector. */
const IDLE_BYTES_MAX = 32 * 1024 * 1024;
const SMALLEST_BYTES = 4096;
/** Larger bodies are seldom, and few of them would fill what may lie ready. */
const REUSED_BYTES_MAX = IDLE_BYTES_MAX / 4;

export class ReceiveBuffers {
  readonly #idle = new Map<number, Buffer[]>();
  #idleBytes = 0;

  /** At least so many bytes, at most a quarter more beyond the smallest size; they may hold anything. */
  take(byteCount: number): Buffer {
    const sizeBytes = byteCount > REUSED_BYTES_MAX ? byteCount : roundUp(byteCount);
    const buffer = this.#idle.get(sizeBytes)?.pop();
    if (buffer === undefined) return Buffer.allocUnsafeSlow(sizeBytes);
    this.#idleBytes -= sizeBytes;
    return buffer;
  }

  /** For a buffer that was taken here and that nothing looks at any more. */
  giveBack(buffer: Buffer): void {
    const sizeBytes = buffer.length;
    if (sizeBytes > REUSED_BYTES_MAX || this.#idleBytes + sizeBytes > IDLE_BYTES_MAX) return;
    this.#idleBytes += sizeBytes;
    const idle = this.#idle.get(sizeBytes);
    if (idle === undefined) this.#idle.set(sizeBytes, [buffer]);
    else idle.push(buffer);
  }
}

/** Four sizes for each doubling. */
function roundUp(byteCount: number): number {
  if (byteCount <= SMALLEST_BYTES) return SMALLEST_BYTES;
  const step = 2 ** (Math.ceil(Math.log2(byteCount)) - 3);
  return Math.ceil(byteCount / step) * step;
}
