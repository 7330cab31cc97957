/** A column of one row group as it came from the file: an optional dictionary page and one data page. */

import { constants, zstdDecompressSync } from 'node:zlib';
import { keepCompiled } from '@tracelake/domain';
import { PAGE_DATA_V2, PAGE_DICTIONARY } from '../encoding/parquet-format.ts';
import { ByteSource, DamagedBytes } from './byte-source.ts';
import { ThriftFields } from './thrift-reading.ts';

/** The least that zlib takes. */
const PIECE_BYTES_MIN = constants.Z_MIN_CHUNK;

export interface StoredPage {
  readonly body: Uint8Array;
  readonly rawBytes: number;
  readonly isCompressed: boolean;
  readonly valueCount: number;
}

export interface ColumnPages {
  readonly dictionary: StoredPage | undefined;
  readonly data: StoredPage;
}

export interface PagesExpected {
  readonly rowCount: number;
  readonly encoding: number;
  readonly hasDictionary: boolean;
  /** No page may be larger. */
  readonly rawBytes: number;
}

/** The pages that `bytes` hold, and nothing else. Errors: `DamagedBytes`. */
export function readColumnPages(bytes: Uint8Array, expected: PagesExpected): ColumnPages {
  const source = new ByteSource(bytes);
  const dictionary = expected.hasDictionary
    ? readPage(source, PAGE_DICTIONARY, expected)
    : undefined;
  const data = readPage(source, PAGE_DATA_V2, expected);
  if (source.left > 0) throw new DamagedBytes('has bytes behind its data page');
  return { dictionary, data };
}

/** Lends out the raw bytes of a page; they are gone when `use` returns. Errors: `DamagedBytes`. */
export function useRawPage<T>(page: StoredPage, use: (raw: Uint8Array) => T): T {
  if (!page.isCompressed) return use(page.body);
  const raw = decompress(page);
  try {
    return use(raw);
  } finally {
    freePiece(raw);
  }
}

function readPage(source: ByteSource, type: number, expected: PagesExpected): StoredPage {
  const header = ThriftFields.read(source);
  const rawBytes = header.number(2) ?? -1;
  const body = source.take(header.number(3) ?? -1);
  const isData = type === PAGE_DATA_V2;
  const details = header.struct(isData ? 8 : 7);
  const valueCount = details?.number(1) ?? -1;
  const isCompressed = !isData || details?.boolean(7) === true;
  const isWhole = isData
    ? valueCount === expected.rowCount && details?.number(4) === expected.encoding
    : valueCount > 0;
  const isSized = rawBytes >= 0 && rawBytes <= expected.rawBytes;
  if (header.number(1) !== type || !isWhole || !isSized) {
    throw new DamagedBytes('has another page than its file says');
  }
  if (!isCompressed && rawBytes !== body.length) {
    throw new DamagedBytes('has a page of another length than it says');
  }
  return { body, rawBytes, isCompressed, valueCount };
}

function decompress({ body, rawBytes }: StoredPage): Buffer {
  let raw: Buffer;
  try {
    raw = zstdDecompressSync(body, {
      chunkSize: Math.max(PIECE_BYTES_MIN, rawBytes),
      maxOutputLength: Math.max(1, rawBytes),
    });
  } catch (cause) {
    throw new DamagedBytes('has a page that cannot be decompressed', { cause });
  }
  if (raw.length !== rawBytes) throw new DamagedBytes('has a page of another length than it says');
  return raw;
}

/** Freed at once it leads to no collection of garbage. Smaller pieces lie in memory that others use too. */
function freePiece({ buffer, length }: Buffer): void {
  if (length >= Buffer.poolSize && buffer instanceof ArrayBuffer) buffer.transfer(0);
}

const noPage = { body: new Uint8Array(0), rawBytes: 0, isCompressed: false, valueCount: 0 };
keepCompiled(noPage);
keepCompiled({ dictionary: noPage, data: noPage });
