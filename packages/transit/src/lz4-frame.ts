/**
 * LZ4 frames from outside. The block headers are walked first: they show where the frame ends and bound what it
 * can grow to, so nothing is allocated on a stranger's word. Then the blocks are decompressed and every checksum
 * the frame carries is verified.
 *
 * Written here because the WebAssembly library refuses good frames once it has seen a damaged one: its context
 * cannot be reset from outside.
 *
 * Source: LZ4 frame format description 1.6.x.
 */
import type { BlockPayload } from '@tracelake/domain';
import { decodeLz4Block, OUTPUT_SLACK_BYTES, type ViewedBytes } from './lz4-block.ts';
import type { ScratchBytes } from './scratch-bytes.ts';
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
const CHECKSUM_BYTES = 4;

interface FrameHeader {
  readonly byteCount: number;
  readonly blockBytesMax: number;
  readonly isIndependent: boolean;
  readonly blockChecksumBytes: number;
  readonly contentChecksumBytes: number;
  /** `Infinity` when the header does not say. */
  readonly contentBytes: number;
}

/** A frame whose block headers were walked: every block lies inside the bytes. */
interface WalkedFrame extends ViewedBytes {
  readonly field: string;
  readonly header: FrameHeader;
  readonly outputBytesMax: number;
}

/**
 * Decompresses the first LZ4 frame in `bytes`; what follows it is ignored.
 *
 * Ownership: the result shares nothing with `bytes`.
 * Errors: `transit.truncated`, `transit.bad-lz4` (not a frame, damage, wrong checksum), `transit.too-large`
 * when the block headers allow more than `outputBytesMax`, before anything is allocated.
 */
export function decodeLz4Frame(bytes: Uint8Array, outputBytesMax: number, field = ''): Uint8Array {
  return decodeLz4FrameInto(bytes, { outputBytesMax, field });
}

export interface Lz4FrameDestination {
  readonly outputBytesMax: number;
  /** Named in errors. */
  readonly field: string;
  /** Where the result lies until the next call with the same; without it in memory of its own. */
  readonly scratch?: ScratchBytes;
}

/** `decodeLz4Frame` into memory that is used again. */
export function decodeLz4FrameInto(
  bytes: Uint8Array,
  { outputBytesMax, field, scratch }: Lz4FrameDestination,
): Uint8Array {
  const frame = walkFrame(bytes, field);
  if (frame.outputBytesMax > outputBytesMax) failTooLarge(field, outputBytesMax);
  const outputBytes = frame.outputBytesMax + OUTPUT_SLACK_BYTES;
  return decompress(frame, scratch?.take(outputBytes) ?? new Uint8Array(outputBytes));
}

/** Throws `transit.too-large` when the frames of a payload could grow past the limit. Other formats pass. */
export function checkDecompressedBound(payload: BlockPayload, limits: DecompressionLimits): void {
  let total = 0;
  for (const field of ['dependencies', 'objects'] as const) {
    total += boundOrZero(payload[field]);
    if (total > limits.decompressedBytesMax)
      failTooLarge(`payload.${field}`, limits.decompressedBytesMax);
  }
}

/** What cannot be walked cannot be decompressed either: nothing to bound. */
function boundOrZero(bytes: Uint8Array): number {
  try {
    return walkFrame(bytes, '').outputBytesMax;
  } catch (error) {
    if (error instanceof TransitDecodeError) return 0;
    throw error;
  }
}

function walkFrame(bytes: Uint8Array, field: string): WalkedFrame {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
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
      fail('transit.bad-lz4', 'a block is larger than the frame allows', field, position);
    needBytes(bytes, position, byteCount + header.blockChecksumBytes, field);
    position += byteCount + header.blockChecksumBytes;
    outputBytesMax += isCompressed
      ? Math.min(header.blockBytesMax, byteCount * GROWTH_MAX)
      : byteCount;
  }
  needBytes(bytes, position, header.contentChecksumBytes, field);
  return { bytes, view, field, header, outputBytesMax };
}

function readHeader(bytes: Uint8Array, view: DataView, field: string): FrameHeader {
  if (bytes.length === 0) fail('transit.truncated', 'there are no bytes', field, 0);
  needBytes(bytes, 0, 7, field);
  if (view.getUint32(0, true) !== MAGIC)
    fail('transit.bad-lz4', 'no lz4 frame begins here', field, 0);
  const flags = view.getUint8(4);
  const blockDescriptor = view.getUint8(5);
  const sizeCode = (blockDescriptor >> 4) & 7;
  const isVersion1 = flags >> 6 === 1;
  if (!isVersion1 || (flags & 0b10) !== 0 || (blockDescriptor & 0x8f) !== 0 || sizeCode < 4)
    fail('transit.bad-lz4', 'the frame header is not one of version 1', field, 4);
  if ((flags & 0b1) !== 0) fail('transit.bad-lz4', 'the frame needs a dictionary', field, 4);
  const hasContentSize = (flags & 0b1000) !== 0;
  const descriptorEnd = hasContentSize ? 14 : 6;
  needBytes(bytes, descriptorEnd, 1, field);
  const checksum = (xxh32(bytes.subarray(4, descriptorEnd)) >>> 8) & 0xff;
  if (view.getUint8(descriptorEnd) !== checksum)
    fail('transit.bad-lz4', 'wrong header checksum', field, descriptorEnd);
  return {
    byteCount: descriptorEnd + 1,
    blockBytesMax: 1 << (8 + 2 * sizeCode),
    isIndependent: (flags & 0b10_0000) !== 0,
    blockChecksumBytes: (flags & 0b1_0000) !== 0 ? CHECKSUM_BYTES : 0,
    contentChecksumBytes: (flags & 0b100) !== 0 ? CHECKSUM_BYTES : 0,
    contentBytes: hasContentSize ? Number(view.getBigUint64(6, true)) : Number.POSITIVE_INFINITY,
  };
}

function decompress(frame: WalkedFrame, outputBytes: Uint8Array): Uint8Array {
  const { bytes, view, field, header, outputBytesMax } = frame;
  const output = viewed(outputBytes);
  let length = 0;
  let position = header.byteCount;
  for (;;) {
    const blockHead = view.getUint32(position, true);
    position += 4;
    if (blockHead === 0) break;
    const isCompressed = blockHead < UNCOMPRESSED_FLAG;
    const blockStart = position;
    position += isCompressed ? blockHead : blockHead - UNCOMPRESSED_FLAG;
    const blockEnd = position;
    if (header.blockChecksumBytes > 0) {
      if (view.getUint32(position, true) !== xxh32(bytes.subarray(blockStart, blockEnd)))
        fail('transit.bad-lz4', 'wrong block checksum', field, position);
      position += CHECKSUM_BYTES;
    }
    if (isCompressed) {
      const windowStart = header.isIndependent ? length : 0;
      const end = Math.min(length + header.blockBytesMax, outputBytesMax);
      const ranges = { blockStart, blockEnd, start: length, end, windowStart };
      length = decodeLz4Block(frame, output, ranges);
      if (length < 0) fail('transit.bad-lz4', 'a block is damaged', field, position);
    } else {
      output.bytes.set(bytes.subarray(blockStart, blockEnd), length);
      length += blockEnd - blockStart;
    }
  }
  const content = output.bytes.subarray(0, length);
  if (header.contentChecksumBytes > 0 && view.getUint32(position, true) !== xxh32(content))
    fail('transit.bad-lz4', 'wrong content checksum', field, position);
  if (Number.isFinite(header.contentBytes) && header.contentBytes !== length)
    fail('transit.bad-lz4', 'the content is not of the size declared', field, 6);
  return content;
}

function viewed(bytes: Uint8Array): ViewedBytes {
  return { bytes, view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength) };
}

function needBytes(bytes: Uint8Array, position: number, byteCount: number, field: string): void {
  if (position + byteCount > bytes.length)
    fail('transit.truncated', 'the frame is cut short', field, bytes.length);
}

function failTooLarge(field: string, limit: number): never {
  throw new TransitDecodeError(
    'transit.too-large',
    `cannot decompress ${field || 'frame'}: it may grow past ${limit} bytes`,
    { field, limit },
  );
}

function fail(code: TransitErrorCode, what: string, field: string, byteOffset: number): never {
  throw new TransitDecodeError(
    code,
    `cannot decompress ${field || 'frame'} at byte ${byteOffset}: ${what}`,
    { field, byteOffset },
  );
}
