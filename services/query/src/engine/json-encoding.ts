import type { DuckDBDataChunk } from '@duckdb/node-api';
import { ByteSink } from './byte-sink.ts';
import { type CellColumn, type CellStyle, cellColumn } from './cell-writing.ts';
import type { ResultColumn } from './result-columns.ts';
import type { ResultEncoder } from './result-encoder.ts';
import { integerText, jsonText } from './text-values.ts';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

const STYLE: CellStyle = {
  null: Buffer.from('null'),
  quotes: Buffer.from('"'),
  text: writeText,
  quote: (text) => JSON.stringify(text),
  integer: integerText,
  number: (text) => text,
  other: jsonText,
};

/** Row objects: in one array, or one a line. */
export class JsonEncoder implements ResultEncoder {
  readonly #columns: readonly CellColumn[];
  readonly #keys: readonly Uint8Array[];
  readonly #shape: 'array' | 'lines';
  readonly #sink = new ByteSink();
  #hasRows = false;

  constructor(columns: readonly ResultColumn[], shape: 'array' | 'lines') {
    this.#columns = columns.map((column) => cellColumn(column, STYLE));
    this.#shape = shape;
    this.#keys = columns.map(({ name, index }) => {
      return Buffer.from(`${index === 0 ? '{' : ','}${JSON.stringify(name)}:`);
    });
  }

  begin(): Uint8Array {
    return Buffer.from(this.#shape === 'array' ? '[' : '');
  }

  add(chunk: DuckDBDataChunk): Uint8Array {
    const sink = this.#sink;
    const isArray = this.#shape === 'array';
    const writers = this.#columns.map((column) => column(chunk));
    const { rowCount } = chunk;
    for (let row = 0; row < rowCount; row++) {
      if (isArray) sink.text(this.#hasRows ? ',\n' : '\n');
      this.#hasRows = true;
      for (let column = 0; column < writers.length; column++) {
        sink.raw(this.#keys[column] ?? NOTHING);
        writers[column]?.(sink, row);
      }
      sink.text(isArray ? '}' : '}\n');
    }
    return sink.take();
  }

  end(): Uint8Array {
    return Buffer.from(this.#shape === 'array' ? '\n]\n' : '');
  }
}

const NOTHING = new Uint8Array(0);

/** What `JSON.stringify` gives, for bytes: a text that holds anything to escape goes through it. */
function writeText(sink: ByteSink, bytes: DataView, begin: number, length: number): void {
  const start = sink.at;
  sink.byte(QUOTE);
  if (sink.copyPlain(bytes, begin, length, QUOTE, BACKSLASH)) {
    sink.byte(QUOTE);
    return;
  }
  sink.at = start;
  const { buffer, byteOffset, byteLength } = bytes;
  const text = Buffer.from(buffer, byteOffset, byteLength);
  sink.text(JSON.stringify(text.toString('utf8', begin, begin + length)));
}
