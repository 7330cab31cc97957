/**
 * glibc gives freed memory back to the kernel, and takes it again page by page, whenever 128 KiB of it or a few megabytes
 * lie free: 25 to 35 MB of arrays for each 1.4 M spans, 9,000 page faults. It learns from what is freed, once and for all
 * threads: after one array of just under 32 MB, which is the most it learns from, arrays up to that size come from memory
 * that the process has, and that is given back only where 64 MB in a row lie free. Costs nothing: the array is never
 * written. Elsewhere (musl, macOS, `MALLOC_*` settings of one's own) it changes nothing.
 */

const LEARNT_FROM_BYTES = 32 * 2 ** 20 - 64 * 1024;

/** For all threads of the process. */
export function keepFreedMemory(): void {
  Buffer.allocUnsafeSlow(LEARNT_FROM_BYTES).buffer.transfer(0);
}
