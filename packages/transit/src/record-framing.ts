/**
 * The framing of both transit buffers: `type index: u8, [instance size: u32 when the type has none], instance`.
 * One pass over it counts the records of each type and proves that every instance lies inside the buffer, so
 * that the decoding pass can allocate exactly and need not check again.
 */
import type { BufferLayout, TypeLayout } from './record-layout.ts';
import { TransitDecodeError, type TransitErrorCode } from './transit-decode-error.ts';

export type BufferName = 'dependencies' | 'objects';

/** A decompressed buffer with what is needed to read it. */
export interface TransitBuffer {
  readonly name: BufferName;
  readonly bytes: Buffer;
  readonly view: DataView;
  readonly layout: BufferLayout;
}

export interface RecordCounts {
  readonly total: number;
  /** By type index. */
  readonly byType: Uint32Array;
}

export function transitBuffer(
  name: BufferName,
  bytes: Uint8Array,
  layout: BufferLayout,
): TransitBuffer {
  return {
    name,
    bytes: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength),
    view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength),
    layout,
  };
}

/**
 * Counts records by type. Throws `transit.bad-record` where the framing breaks, and `transit.too-large` as soon
 * as there are more than `recordsMax`, before anything is allocated for them.
 */
export function countRecords(
  buffer: TransitBuffer,
  recordsMax = Number.POSITIVE_INFINITY,
): RecordCounts {
  const { bytes, view } = buffer;
  const { sizes } = buffer.layout;
  const byType = new Uint32Array(sizes.length);
  const end = bytes.length;
  // Where a record begins depends on the one before; guessing its size lets the processor read ahead.
  let usualSize = end > 0 ? (sizes[view.getUint8(0)] ?? 0) : 0;
  let total = 0;
  let position = 0;
  while (position < end) {
    const start = position;
    const type = view.getUint8(position);
    let size = sizes[type] ?? -1;
    if (size === usualSize && size > 0) {
      position += 1 + usualSize;
    } else if (size > 0) {
      usualSize = size;
      position += 1 + size;
    } else {
      if (size < 0) failRecord(buffer, start, `type index ${type} is not declared`);
      if (position + 5 > end) failRecord(buffer, start, 'a record is cut short in its size');
      size = view.getUint32(position + 1, true);
      position += 5 + size;
    }
    if (position > end) failRecord(buffer, start, `a record of ${size} bytes is cut short`);
    byType[type] = (byType[type] ?? 0) + 1;
    total += 1;
    if (total > recordsMax) failTooMany(buffer, recordsMax);
  }
  return { total, byType };
}

export function failRecord(buffer: TransitBuffer, byteOffset: number, what: string): never {
  return failBuffer('transit.bad-record', buffer, byteOffset, what);
}

function failTooMany(buffer: TransitBuffer, limit: number): never {
  throw new TransitDecodeError(
    'transit.too-large',
    `cannot decode ${buffer.name}: there are more records than the ${limit} that its block may hold`,
    { field: buffer.name, limit },
  );
}

/** For records whose declared type makes it impossible to decode them. */
export function failType(buffer: TransitBuffer, type: TypeLayout, what: string): never {
  throw new TransitDecodeError(
    'transit.bad-metadata',
    `cannot decode ${buffer.name}: type "${type.name.slice(0, 64)}" ${what}`,
    { field: buffer.name },
  );
}

function failBuffer(
  code: TransitErrorCode,
  buffer: TransitBuffer,
  byteOffset: number,
  what: string,
): never {
  throw new TransitDecodeError(
    code,
    `cannot decode ${buffer.name} at byte ${byteOffset}: ${what}`,
    {
      field: buffer.name,
      byteOffset,
    },
  );
}
