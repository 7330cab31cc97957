import type { DuckDBDataChunk, DuckDBValue } from '@duckdb/node-api';
import { ByteSink } from './byte-sink.ts';
import { type CellStyle, cellWriter } from './cell-writing.ts';
import type { ResultColumn } from './result-columns.ts';
import type { ResultEncoder } from './result-encoder.ts';
import { jsonText, plainText } from './text-values.ts';

/** Null is an empty field and the empty text a quoted one, so that they stay apart. */
const STYLE: CellStyle = {
  null: new Uint8Array(0),
  quotes: new Uint8Array(0),
  text: writeField,
  quote: quoteField,
  integer: (value) => value.toString(),
  number: (text) => text.replaceAll('"', ''),
  other: (value) => quoteField(isNested(value) ? jsonText(value) : plainText(value)),
};

/** RFC 4180 with a header line and LF; nested values are JSON text. */
export class CsvEncoder implements ResultEncoder {
  readonly #columns: readonly ResultColumn[];
  readonly #sink = new ByteSink();

  constructor(columns: readonly ResultColumn[]) {
    this.#columns = columns;
  }

  begin(): Uint8Array {
    return Buffer.from(`${this.#columns.map(({ name }) => quoteField(name)).join(',')}\n`);
  }

  add(chunk: DuckDBDataChunk): Uint8Array {
    const sink = this.#sink;
    const writers = this.#columns.map((column) => cellWriter(chunk, column, STYLE));
    const { rowCount } = chunk;
    for (let row = 0; row < rowCount; row++) {
      for (let column = 0; column < writers.length; column++) {
        if (column > 0) sink.byte(COMMA);
        writers[column]?.(sink, row);
      }
      sink.byte(LINE_END);
    }
    return sink.take();
  }

  end(): Uint8Array {
    return new Uint8Array(0);
  }
}

const COMMA = 0x2c;
const LINE_END = 0x0a;
const RETURN = 0x0d;
const QUOTE = 0x22;

/** {@link quoteField} for bytes: a field that turns out to need quotes is begun again. */
function writeField(sink: ByteSink, bytes: Uint8Array, begin: number, length: number): void {
  sink.reserve(length + 2);
  const { bytes: out, at } = sink;
  let to = at;
  let isPlain = length > 0;
  for (let from = begin; from < begin + length && isPlain; from++) {
    const byte = bytes[from] ?? 0;
    isPlain = byte !== COMMA && byte !== QUOTE && byte !== LINE_END && byte !== RETURN;
    out[to++] = byte;
  }
  if (isPlain) sink.at = to;
  else writeQuoted(sink, bytes, begin, length);
}

function writeQuoted(sink: ByteSink, bytes: Uint8Array, begin: number, length: number): void {
  sink.reserve(length * 2 + 2);
  const { bytes: out } = sink;
  let to = sink.at;
  out[to++] = QUOTE;
  for (let from = begin; from < begin + length; from++) {
    const byte = bytes[from] ?? 0;
    if (byte === QUOTE) out[to++] = QUOTE;
    out[to++] = byte;
  }
  out[to++] = QUOTE;
  sink.at = to;
}

function quoteField(text: string): string {
  if (text !== '' && !/[",\r\n]/.test(text)) return text;
  return `"${text.replaceAll('"', '""')}"`;
}

function isNested(value: DuckDBValue): boolean {
  return typeof value === 'object' && value !== null && ('items' in value || 'entries' in value);
}
