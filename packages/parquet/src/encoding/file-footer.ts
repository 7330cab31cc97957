/** The footer of a Parquet file: schema, row groups with statistics, key-value metadata. */

import type { ColumnDefinition, ColumnType } from '@tracelake/lakehouse';
import type { ChunkPlacement } from './column-chunk.ts';
import {
  CODEC_ZSTD,
  CONVERTED_UINT_32,
  CONVERTED_UTF8,
  ENCODING_PLAIN,
  REPETITION_REQUIRED,
  TYPE_BOOLEAN,
  TYPE_BYTE_ARRAY,
  TYPE_DOUBLE,
  TYPE_INT32,
  TYPE_INT64,
} from './parquet-format.ts';
import { ThriftStruct } from './thrift-compact.ts';

export interface RowGroupPlacement {
  readonly rowCount: number;
  readonly offset: number;
  /** In the order of the schema. */
  readonly chunks: readonly ChunkPlacement[];
}

export interface FooterContent {
  readonly columns: readonly ColumnDefinition[];
  readonly rowCount: number;
  readonly rowGroups: readonly RowGroupPlacement[];
  readonly metadata: Readonly<Record<string, string>>;
}

const PHYSICAL_TYPES: Readonly<Record<ColumnType, number>> = {
  i64: TYPE_INT64,
  timestamp: TYPE_INT64,
  i32: TYPE_INT32,
  u32: TYPE_INT32,
  f64: TYPE_DOUBLE,
  bool: TYPE_BOOLEAN,
  string: TYPE_BYTE_ARRAY,
};

const MAGIC = Buffer.from('PAR1');

/** What a file begins with. */
export const FILE_HEADER: Uint8Array = MAGIC;

/** Everything from the end of the last row group to the end of the file. */
export function encodeFooter(content: FooterContent): Uint8Array {
  const footer = ThriftStruct.encode((file) => encodeFileMetadata(file, content));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(footer.length);
  return Buffer.concat([footer, length, MAGIC]);
}

function encodeFileMetadata(file: ThriftStruct, content: FooterContent): void {
  const { columns, rowCount, rowGroups, metadata } = content;
  file.i32(1, 2);
  file.structList(2, [undefined, ...columns], (element, column) => {
    if (column === undefined) {
      element.binary(4, 'rows');
      element.i32(5, columns.length);
    } else {
      encodeSchemaElement(element, column);
    }
  });
  file.i64(3, rowCount);
  file.structList(4, rowGroups, (group, placement) => encodeRowGroup(group, placement, columns));
  const pairs = Object.entries(metadata).sort(([first], [second]) => (first < second ? -1 : 1));
  file.structList(5, pairs, (pair, [key, value]) => {
    pair.binary(1, key);
    pair.binary(2, value);
  });
  file.binary(6, 'tracelake');
  // Statistics are in the order of the types, which readers believe only when it is said.
  file.structList(7, columns, (order) => order.struct(1, () => {}));
}

function encodeSchemaElement(element: ThriftStruct, { name, type }: ColumnDefinition): void {
  element.i32(1, PHYSICAL_TYPES[type]);
  element.i32(3, REPETITION_REQUIRED);
  element.binary(4, name);
  if (type === 'string') {
    element.i32(6, CONVERTED_UTF8);
    element.struct(10, (logical) => logical.struct(1, () => {}));
  } else if (type === 'u32') {
    element.i32(6, CONVERTED_UINT_32);
    element.struct(10, (logical) =>
      logical.struct(10, (integer) => {
        integer.i8(1, 32);
        integer.bool(2, false);
      }),
    );
  } else if (type === 'timestamp') {
    // DuckDB reads a timestamp adjusted to UTC as microseconds, so the file's metadata names the zone.
    element.struct(10, (logical) =>
      logical.struct(8, (timestamp) => {
        timestamp.bool(1, false);
        timestamp.struct(2, (unit) => unit.struct(3, () => {}));
      }),
    );
  }
}

function encodeRowGroup(
  group: ThriftStruct,
  { rowCount, offset, chunks }: RowGroupPlacement,
  columns: readonly ColumnDefinition[],
): void {
  group.structList(1, chunks, (chunk, placement) => {
    const column = columns[chunks.indexOf(placement)];
    chunk.i64(2, 0);
    chunk.struct(3, (metadata) => encodeChunkMetadata(metadata, placement, column));
  });
  group.i64(2, sum(chunks, 'rawBytes'));
  group.i64(3, rowCount);
  group.i64(5, offset);
  group.i64(6, sum(chunks, 'storedBytes'));
}

function encodeChunkMetadata(
  metadata: ThriftStruct,
  placement: ChunkPlacement,
  column: ColumnDefinition | undefined,
): void {
  const { encoding, dictionaryOffset, dataOffset, statistics } = placement;
  metadata.i32(1, PHYSICAL_TYPES[column?.type ?? 'i64']);
  metadata.i32List(2, dictionaryOffset === undefined ? [encoding] : [ENCODING_PLAIN, encoding]);
  metadata.textList(3, [column?.name ?? '']);
  metadata.i32(4, CODEC_ZSTD);
  metadata.i64(5, placement.valueCount);
  metadata.i64(6, placement.rawBytes);
  metadata.i64(7, placement.storedBytes);
  metadata.i64(9, dataOffset);
  if (dictionaryOffset !== undefined) metadata.i64(11, dictionaryOffset);
  if (statistics === undefined) return;
  metadata.struct(12, (stated) => {
    stated.i64(3, 0);
    stated.binary(5, statistics.greatest);
    stated.binary(6, statistics.least);
    stated.bool(7, true);
    stated.bool(8, true);
  });
}

function sum(chunks: readonly ChunkPlacement[], field: 'rawBytes' | 'storedBytes'): number {
  return chunks.reduce((total, chunk) => total + chunk[field], 0);
}
