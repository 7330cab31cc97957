import { constants, zstdCompressSync } from 'node:zlib';
import { ensureExists } from '@tracelake/domain';

/** By measurement on span columns: level 3 saves 2 % of the bytes for twice the time. */
const PARAMS = { [constants.ZSTD_c_compressionLevel]: 1 };

/** Output is gathered in pieces of this size at least. */
const CHUNK_BYTES_MIN = 1024;

/** Below this many bytes a page is not worth the call. */
const COMPRESSED_BYTES_MIN = 64;

export interface CompressedPage {
  /** As it stands in the file after its header; a copy, or the given bytes when they stay as they are. */
  readonly body: Uint8Array;
  readonly rawBytes: number;
  readonly isCompressed: boolean;
}

/** For a page that says itself whether it is compressed. Bytes that do not shrink by a sixteenth are left. */
export function compressIfSmaller(raw: Uint8Array): CompressedPage {
  if (raw.length >= COMPRESSED_BYTES_MIN) {
    const body = compress(raw, raw.length - (raw.length >> 4));
    if (body !== undefined) return { body, rawBytes: raw.length, isCompressed: true };
  }
  return { body: raw.slice(), rawBytes: raw.length, isCompressed: false };
}

/** For a dictionary page, which is always compressed. */
export function compressAlways(raw: Uint8Array): CompressedPage {
  const body = ensureExists(compress(raw, Number.POSITIVE_INFINITY), 'compressed page');
  return { body, rawBytes: raw.length, isCompressed: true };
}

/**
 * Undefined when it does not come out smaller than `limit`. Told the size, zstd takes tables for no more: a context of
 * 64 KiB pages instead of one of a megabyte. With room for the worst case it compresses from `raw` itself, without a
 * copy of it in between; memory of that room which is not written costs nothing.
 */
function compress(raw: Uint8Array, limit: number): Uint8Array | undefined {
  const chunkSize = Math.max(CHUNK_BYTES_MIN, compressedBytesMax(raw.length));
  const piece = zstdCompressSync(raw, { params: PARAMS, pledgedSrcSize: raw.length, chunkSize });
  const body = piece.length < limit ? new Uint8Array(piece) : undefined;
  if (chunkSize >= Buffer.poolSize >>> 1) freePiece(piece);
  return body;
}

/** `ZSTD_compressBound`. */
function compressedBytesMax(rawBytes: number): number {
  const small = 128 * 1024;
  return rawBytes + (rawBytes >> 8) + (rawBytes < small ? (small - rawBytes) >> 11 : 0);
}

/**
 * What a page is compressed into is as large as the page was. Freed at once it leads to no collection of garbage, as
 * some 25 MB a run would. Smaller pieces lie in memory that others use too.
 */
function freePiece({ buffer }: Buffer): void {
  if (buffer instanceof ArrayBuffer) buffer.transfer(0);
}
