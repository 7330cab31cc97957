/**
 * Where the columns of async events stand in a file, from its footer, if the file is one that `EventRowGroups` reads:
 * written by our encoder, in encodings that it uses for nearly all events, its row groups one behind the other in
 * order of time. All others are left to DuckDB.
 */

import { type FileHandle, open } from 'node:fs/promises';
import {
  CODEC_ZSTD,
  ENCODING_DELTA_BINARY_PACKED,
  ENCODING_DELTA_LENGTH_BYTE_ARRAY,
  ENCODING_PLAIN,
  ENCODING_RLE_DICTIONARY,
  REPETITION_REQUIRED,
  TYPE_BYTE_ARRAY,
  TYPE_INT32,
  TYPE_INT64,
} from '../encoding/parquet-format.ts';
import { ByteSource } from './byte-source.ts';
import { ThriftFields } from './thrift-reading.ts';

/** Four times as many as the encoder writes: what a row group takes in memory is 40 bytes a row. */
const GROUP_ROWS_MAX = 131_072;
/** The encoder ends a row group at 32 MiB of text. */
const GROUP_BYTES_MAX = 64 * 1024 * 1024;
const FOOTER_BYTES_MAX = 16 * 1024 * 1024;

const MAGIC = 'PAR1';
/** The footer's length and the magic bytes. */
const TRAILER_BYTES = 8;

const IN_DICTIONARY = [ENCODING_PLAIN, ENCODING_RLE_DICTIONARY];

/** Encodings as a footer lists them. */
const DELTAS = { type: TYPE_INT64, encodings: [[ENCODING_DELTA_BINARY_PACKED]] };
const NUMBERS = { type: TYPE_INT32, encodings: [IN_DICTIONARY] };
const TEXTS = {
  type: TYPE_BYTE_ARRAY,
  encodings: [IN_DICTIONARY, [ENCODING_DELTA_LENGTH_BYTE_ARRAY]],
};

const COLUMNS = {
  time: DELTAS,
  event_type: TEXTS,
  span_id: DELTAS,
  parent_span_id: DELTAS,
  depth: NUMBERS,
  hash: NUMBERS,
  name: TEXTS,
  filename: TEXTS,
  target: TEXTS,
  line: NUMBERS,
} as const;

export type EventColumn = keyof typeof COLUMNS;

export interface ColumnPlace {
  /** Of the data page. */
  readonly encoding: number;
  /** From the start of the file. */
  readonly offset: number;
  readonly storedBytes: number;
  /** Of all pages together. */
  readonly rawBytes: number;
}

export interface RowGroupPlace {
  readonly rowCount: number;
  /** Around all columns of `columns`. */
  readonly offset: number;
  readonly storedBytes: number;
  /** The first and the last time of its events; no other row group's lie between them. */
  readonly leastNs: bigint;
  readonly greatestNs: bigint;
  readonly columns: Readonly<Record<EventColumn, ColumnPlace>>;
}

export interface EventFileLayout {
  readonly rowGroups: readonly RowGroupPlace[];
}

/** By path, those of all files; undefined where one of them is not for `EventRowGroups`. */
export async function findEventLayouts(
  paths: readonly string[],
): Promise<ReadonlyMap<string, EventFileLayout> | undefined> {
  const layouts = new Map<string, EventFileLayout>();
  for (const path of paths) {
    const layout = await findEventLayout(path);
    if (layout === undefined) return undefined;
    layouts.set(path, layout);
  }
  return layouts;
}

/** Undefined for a file that is to be read through DuckDB, which also says what is wrong with one that is damaged. */
async function findEventLayout(path: string): Promise<EventFileLayout | undefined> {
  try {
    await using file = await open(path);
    const { size } = await file.stat();
    const footer = await readFooter(file, size);
    return footer === undefined ? undefined : layoutOf(footer, size);
  } catch {
    return undefined;
  }
}

async function readFooter(file: FileHandle, fileBytes: number): Promise<ThriftFields | undefined> {
  const trailer = await readAt(file, fileBytes - TRAILER_BYTES, TRAILER_BYTES);
  const length = trailer.readUInt32LE(0);
  const start = fileBytes - TRAILER_BYTES - length;
  const isParquet = trailer.toString('latin1', 4) === MAGIC && start >= MAGIC.length;
  if (!isParquet || length > FOOTER_BYTES_MAX) return undefined;
  return ThriftFields.read(new ByteSource(await readAt(file, start, length)));
}

async function readAt(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length);
  const { bytesRead } = await file.read(bytes, 0, length, position);
  if (bytesRead !== length) throw new RangeError('the file is shorter than it was');
  return bytes;
}

function layoutOf(footer: ThriftFields, fileBytes: number): EventFileLayout | undefined {
  if (footer.text(6) !== 'tracelake') return undefined;
  const schema = footer.structs(2).slice(1);
  const indexes = new Map(schema.map((element, index) => [element.text(4) ?? '', index]));
  const isKnown = Object.entries(COLUMNS).every(([name, { type }]) => {
    const element = schema[indexes.get(name) ?? -1];
    return element?.number(1) === type && element.number(3) === REPETITION_REQUIRED;
  });
  if (!isKnown || indexes.size !== schema.length) return undefined;
  const rowGroups: RowGroupPlace[] = [];
  let latest: bigint | undefined;
  for (const group of footer.structs(4)) {
    const place = placeOf(group, indexes, fileBytes);
    if (place === undefined || (latest !== undefined && place.leastNs < latest)) return undefined;
    latest = place.greatestNs;
    rowGroups.push(place);
  }
  return { rowGroups };
}

function placeOf(
  group: ThriftFields,
  indexes: ReadonlyMap<string, number>,
  fileBytes: number,
): RowGroupPlace | undefined {
  const rowCount = group.number(3) ?? 0;
  const times = timesOf(group, indexes.get('time') ?? -1);
  if (rowCount < 1 || rowCount > GROUP_ROWS_MAX || times === undefined) return undefined;
  const chunks = group.structs(1);
  const columns: Partial<Record<EventColumn, ColumnPlace>> = {};
  let from = fileBytes;
  let to = 0;
  for (const name of Object.keys(COLUMNS) as EventColumn[]) {
    const chunk = chunks[indexes.get(name) ?? -1]?.struct(3);
    const place = chunk === undefined ? undefined : columnPlaceOf(chunk, name, rowCount);
    if (place === undefined) return undefined;
    columns[name] = place;
    from = Math.min(from, place.offset);
    to = Math.max(to, place.offset + place.storedBytes);
  }
  const storedBytes = to - from;
  if (from < MAGIC.length || to > fileBytes || storedBytes > GROUP_BYTES_MAX) return undefined;
  const known = columns as Record<EventColumn, ColumnPlace>;
  return { rowCount, offset: from, storedBytes, columns: known, ...times };
}

function columnPlaceOf(
  chunk: ThriftFields,
  name: EventColumn,
  rowCount: number,
): ColumnPlace | undefined {
  const stated = chunk.numbers(2);
  const encodings = COLUMNS[name].encodings.find((known) => known.join() === stated.join());
  const encoding = encodings?.at(-1);
  const offset = chunk.number(encoding === ENCODING_RLE_DICTIONARY ? 11 : 9);
  const storedBytes = chunk.number(7) ?? -1;
  const rawBytes = chunk.number(6) ?? -1;
  const isKnown =
    chunk.number(4) === CODEC_ZSTD && chunk.number(5) === rowCount && rawBytes <= GROUP_BYTES_MAX;
  if (!isKnown || encoding === undefined || offset === undefined || storedBytes < 0) {
    return undefined;
  }
  return { encoding, offset, storedBytes, rawBytes };
}

function timesOf(
  group: ThriftFields,
  index: number,
): Pick<RowGroupPlace, 'leastNs' | 'greatestNs'> | undefined {
  const statistics = group.structs(1)[index]?.struct(3)?.struct(12);
  const least = statistics?.binary(6);
  const greatest = statistics?.binary(5);
  if (least?.length !== 8 || greatest?.length !== 8) return undefined;
  return {
    leastNs: Buffer.from(least).readBigInt64LE(),
    greatestNs: Buffer.from(greatest).readBigInt64LE(),
  };
}
