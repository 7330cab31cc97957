import type { DuckDBDataChunk, DuckDBValue } from '@duckdb/node-api';
import { ByteSink } from './byte-sink.ts';
import { type CellColumn, type CellStyle, cellColumn } from './cell-writing.ts';
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
  readonly #header: string;
  readonly #columns: readonly CellColumn[];
  readonly #sink = new ByteSink();

  constructor(columns: readonly ResultColumn[]) {
    this.#header = columns.map(({ name }) => quoteField(name)).join(',');
    this.#columns = columns.map((column) => cellColumn(column, STYLE));
  }

  begin(): Uint8Array {
    return Buffer.from(`${this.#header}\n`);
  }

  add(chunk: DuckDBDataChunk): Uint8Array {
    const sink = this.#sink;
    const writers = this.#columns.map((column) => column(chunk));
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

/** {@link quoteField} for bytes. */
function writeField(sink: ByteSink, bytes: DataView, begin: number, length: number): void {
  if (length > 0 && sink.copyPlain(bytes, begin, length, COMMA, QUOTE)) return;
  const quote = length === 0 || needsQuotes(bytes, begin, length);
  sink.reserve(length * 2 + 2);
  const { bytes: out } = sink;
  let to = sink.at;
  if (quote) out[to++] = QUOTE;
  for (let from = begin; from < begin + length; from++) {
    const byte = bytes.getUint8(from);
    if (byte === QUOTE) out[to++] = QUOTE;
    out[to++] = byte;
  }
  if (quote) out[to++] = QUOTE;
  sink.at = to;
}

/** Control characters but line ends stand as they are. */
function needsQuotes(bytes: DataView, begin: number, length: number): boolean {
  for (let at = begin; at < begin + length; at++) {
    const byte = bytes.getUint8(at);
    if (byte === COMMA || byte === QUOTE || byte === LINE_END || byte === RETURN) return true;
  }
  return false;
}

function quoteField(text: string): string {
  if (text !== '' && !/[",\r\n]/.test(text)) return text;
  return `"${text.replaceAll('"', '""')}"`;
}

function isNested(value: DuckDBValue): boolean {
  return typeof value === 'object' && value !== null && ('items' in value || 'entries' in value);
}
