/** Bytes whose memory is all theirs, so that it can be given back or moved; a part of something larger has neighbours. */

export function hasOwnMemory(bytes: Uint8Array): bytes is Uint8Array<ArrayBuffer> {
  const { buffer, byteLength } = bytes;
  return buffer instanceof ArrayBuffer && buffer.byteLength === byteLength;
}

/**
 * Gives the memory of bytes that nobody reads any more to whoever asks next, if it is all theirs. Left to the collector
 * of garbage it waits until many megabytes have come together, all of them memory that is new to the process, and they
 * make it hurry.
 */
export function freeOwnMemory(bytes: Uint8Array): void {
  if (bytes.byteLength > 0 && hasOwnMemory(bytes)) bytes.buffer.transfer(0);
}
