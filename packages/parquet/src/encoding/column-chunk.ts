/** A column of one row group as it goes to the file: an optional dictionary page and one data page. */

import type { CompressedPage } from './page-compression.ts';
import { ENCODING_PLAIN, PAGE_DATA_V2, PAGE_DICTIONARY } from './parquet-format.ts';
import { ThriftStruct } from './thrift-compact.ts';

/** Least and greatest value of a chunk in PLAIN encoding; undefined where there is none to state. */
export interface ChunkStatistics {
  readonly least: Uint8Array;
  readonly greatest: Uint8Array;
}

export interface EncodedChunk {
  readonly dictionary: { readonly page: CompressedPage; readonly valueCount: number } | undefined;
  readonly data: CompressedPage;
  readonly encoding: number;
  readonly statistics: ChunkStatistics | undefined;
}

/** Where a chunk came to stand in the file. */
export interface ChunkPlacement {
  readonly encoding: number;
  readonly valueCount: number;
  readonly dictionaryOffset: number | undefined;
  readonly dataOffset: number;
  /** Headers included. */
  readonly rawBytes: number;
  readonly storedBytes: number;
  readonly statistics: ChunkStatistics | undefined;
}

/** Puts the chunk's pages behind `parts`, whose first byte is at `offset` in the file. */
export function placeChunk(
  chunk: EncodedChunk,
  rowCount: number,
  offset: number,
  parts: Uint8Array[],
): ChunkPlacement {
  let rawBytes = 0;
  let storedBytes = 0;
  const add = (header: Uint8Array, page: CompressedPage) => {
    parts.push(header, page.body);
    rawBytes += header.length + page.rawBytes;
    storedBytes += header.length + page.body.length;
  };
  const { dictionary, data, encoding, statistics } = chunk;
  if (dictionary !== undefined) {
    add(dictionaryHeader(dictionary.page, dictionary.valueCount), dictionary.page);
  }
  const dataOffset = offset + storedBytes;
  add(dataHeader(data, encoding, rowCount), data);
  return {
    encoding,
    valueCount: rowCount,
    dictionaryOffset: dictionary === undefined ? undefined : offset,
    dataOffset,
    rawBytes,
    storedBytes,
    statistics,
  };
}

function dictionaryHeader(page: CompressedPage, valueCount: number): Uint8Array {
  return ThriftStruct.encode((header) => {
    header.i32(1, PAGE_DICTIONARY);
    header.i32(2, page.rawBytes);
    header.i32(3, page.body.length);
    header.struct(7, (dictionary) => {
      dictionary.i32(1, valueCount);
      dictionary.i32(2, ENCODING_PLAIN);
    });
  });
}

/** No value is missing, so there are no levels. */
function dataHeader(page: CompressedPage, encoding: number, rowCount: number): Uint8Array {
  return ThriftStruct.encode((header) => {
    header.i32(1, PAGE_DATA_V2);
    header.i32(2, page.rawBytes);
    header.i32(3, page.body.length);
    header.struct(8, (data) => {
      data.i32(1, rowCount);
      data.i32(2, 0);
      data.i32(3, rowCount);
      data.i32(4, encoding);
      data.i32(5, 0);
      data.i32(6, 0);
      data.bool(7, page.isCompressed);
    });
  });
}
