/**
 * LZ4 frames from outside. The block headers are walked first: they show where the frame ends and bound what it
 * can grow to, so nothing is allocated on a stranger's word and damage is told apart from truncation. WebAssembly
 * then decompresses and verifies the checksums.
 */
import decompressFrame from '@foxglove/wasm-lz4';
import type { BlockPayload } from '@tracelake/domain';
import { TransitDecodeError, type TransitErrorCode } from './transit-decode-error.ts';
import { xxh32 } from './xxh32.ts';

export interface DecompressionLimits {
  /** The most that the two buffers of one payload may decompress to. */
  readonly decompressedBytesMax: number;
}

export const DEFAULT_DECOMPRESSED_BYTES_MAX = 256 * 1024 * 1024;

const MAGIC = 0x184d2204;
const UNCOMPRESSED_FLAG = 0x8000_0000;
/** A compressed block cannot grow by more: 255 bytes of output for each length byte. */
const GROWTH_MAX = 255;
const XXH32_OF_NOTHING = 0x02cc5d05;

interface FrameExtent {
  readonly endOffset: number;
  readonly outputBytesMax: number;
}

// Loading is asynchronous and the package refuses work before it is done.
await decompressFrame.isLoaded;

/**
 * Decompresses the first LZ4 frame in `bytes`; what follows it is ignored.
 *
 * Errors: `transit.truncated`, `transit.bad-lz4` (not a frame, damage, wrong checksum), `transit.too-large`
 * when the block headers allow more than `outputBytesMax`, before anything is allocated.
 * Source: LZ4 frame format description 1.6.x.
 */
export function decodeLz4Frame(bytes: Uint8Array, outputBytesMax: number, field = ''): Uint8Array {
  const extent = walkFrame(bytes, field);
  if (extent.outputBytesMax > outputBytesMax) failTooLarge(field, outputBytesMax);
  if (extent.outputBytesMax === 0) return new Uint8Array(0);
  try {
    return decompressFrame(bytes.subarray(0, extent.endOffset), extent.outputBytesMax);
  } catch (error) {
    return fail('transit.bad-lz4', 'the frame is damaged', { field, cause: error });
  }
}

/** Throws `transit.too-large` when the frames of a payload could grow past the limit. Other formats pass. */
export function checkDecompressedBound(payload: BlockPayload, limits: DecompressionLimits): void {
  let total = 0;
  for (const field of ['dependencies', 'objects'] as const) {
    const bytes = payload[field];
    if (!startsWithMagic(bytes)) continue;
    total += boundOrZero(bytes);
    if (total > limits.decompressedBytesMax)
      failTooLarge(`payload.${field}`, limits.decompressedBytesMax);
  }
}

/** A frame that cannot be walked cannot be decompressed either: nothing to bound. */
function boundOrZero(bytes: Uint8Array): number {
  try {
    return walkFrame(bytes, '').outputBytesMax;
  } catch (error) {
    if (error instanceof TransitDecodeError) return 0;
    throw error;
  }
}

function startsWithMagic(bytes: Uint8Array): boolean {
  return bytes.length >= 4 && viewOf(bytes).getUint32(0, true) === MAGIC;
}

function walkFrame(bytes: Uint8Array, field: string): FrameExtent {
  const view = viewOf(bytes);
  const header = readHeader(bytes, view, field);
  let position = header.byteCount;
  let outputBytesMax = 0;
  for (;;) {
    needBytes(bytes, position, 4, field);
    const blockHead = view.getUint32(position, true);
    position += 4;
    if (blockHead === 0) break;
    const isCompressed = blockHead < UNCOMPRESSED_FLAG;
    const byteCount = isCompressed ? blockHead : blockHead - UNCOMPRESSED_FLAG;
    if (byteCount > header.blockBytesMax)
      fail('transit.bad-lz4', 'a block is larger than the frame allows', { field, position });
    needBytes(bytes, position, byteCount + header.blockChecksumBytes, field);
    position += byteCount + header.blockChecksumBytes;
    outputBytesMax += isCompressed
      ? Math.min(header.blockBytesMax, byteCount * GROWTH_MAX)
      : byteCount;
  }
  needBytes(bytes, position, header.contentChecksumBytes, field);
  if (outputBytesMax === 0 && header.contentChecksumBytes > 0) {
    if (view.getUint32(position, true) !== XXH32_OF_NOTHING)
      fail('transit.bad-lz4', 'wrong content checksum', { field, position });
  }
  return { endOffset: position + header.contentChecksumBytes, outputBytesMax };
}

interface FrameHeader {
  readonly byteCount: number;
  readonly blockBytesMax: number;
  readonly blockChecksumBytes: number;
  readonly contentChecksumBytes: number;
}

function readHeader(bytes: Uint8Array, view: DataView, field: string): FrameHeader {
  if (bytes.length === 0) fail('transit.truncated', 'no bytes', { field, position: 0 });
  needBytes(bytes, 0, 7, field);
  if (view.getUint32(0, true) !== MAGIC)
    fail('transit.bad-lz4', 'no lz4 frame begins here', { field, position: 0 });
  const flags = view.getUint8(4);
  const blockDescriptor = view.getUint8(5);
  const sizeCode = (blockDescriptor >> 4) & 7;
  const isVersion1 = flags >> 6 === 1;
  if (!isVersion1 || (flags & 0b10) !== 0 || (blockDescriptor & 0x8f) !== 0 || sizeCode < 4)
    fail('transit.bad-lz4', 'the frame header is not one of version 1', { field, position: 4 });
  if ((flags & 0b1) !== 0)
    fail('transit.bad-lz4', 'the frame needs a dictionary', { field, position: 4 });
  const descriptorEnd = (flags & 0b1000) !== 0 ? 14 : 6;
  needBytes(bytes, descriptorEnd, 1, field);
  const checksum = (xxh32(bytes.subarray(4, descriptorEnd)) >>> 8) & 0xff;
  if (view.getUint8(descriptorEnd) !== checksum)
    fail('transit.bad-lz4', 'wrong header checksum', { field, position: descriptorEnd });
  return {
    byteCount: descriptorEnd + 1,
    blockBytesMax: 1 << (8 + 2 * sizeCode),
    blockChecksumBytes: (flags & 0b1_0000) !== 0 ? 4 : 0,
    contentChecksumBytes: (flags & 0b100) !== 0 ? 4 : 0,
  };
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function needBytes(bytes: Uint8Array, position: number, byteCount: number, field: string): void {
  if (position + byteCount > bytes.length)
    fail('transit.truncated', 'the frame is cut short', { field, position: bytes.length });
}

function failTooLarge(field: string, limit: number): never {
  throw new TransitDecodeError(
    'transit.too-large',
    `cannot decompress ${field || 'frame'}: it may grow past ${limit} bytes`,
    { field, limit },
  );
}

function fail(
  code: TransitErrorCode,
  what: string,
  at: { field: string; position?: number; cause?: unknown },
): never {
  const error = new TransitDecodeError(code, `cannot decompress ${at.field || 'frame'}: ${what}`, {
    field: at.field,
    byteOffset: at.position,
  });
  if (at.cause !== undefined) error.cause = at.cause;
  throw error;
}
