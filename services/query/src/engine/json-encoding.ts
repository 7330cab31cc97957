import type { DuckDBDataChunk } from '@duckdb/node-api';
import { ByteSink } from './byte-sink.ts';
import { type CellStyle, cellWriter } from './cell-writing.ts';
import type { ResultColumn } from './result-columns.ts';
import type { ResultEncoder } from './result-encoder.ts';
import { integerText, jsonText } from './text-values.ts';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
/** The first character that JSON takes unescaped. */
const SPACE = 0x20;

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
  readonly #columns: readonly ResultColumn[];
  readonly #keys: readonly Uint8Array[];
  readonly #shape: 'array' | 'lines';
  readonly #sink = new ByteSink();
  #hasRows = false;

  constructor(columns: readonly ResultColumn[], shape: 'array' | 'lines') {
    this.#columns = columns;
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
    const writers = this.#columns.map((column) => cellWriter(chunk, column, STYLE));
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
function writeText(sink: ByteSink, bytes: Uint8Array, begin: number, length: number): void {
  sink.reserve(length + 2);
  const { bytes: out } = sink;
  let to = sink.at;
  out[to++] = QUOTE;
  let isPlain = true;
  for (let from = begin; from < begin + length && isPlain; from++) {
    const byte = bytes[from] ?? 0;
    isPlain = byte >= SPACE && byte !== QUOTE && byte !== BACKSLASH;
    out[to++] = byte;
  }
  if (isPlain) {
    out[to++] = QUOTE;
    sink.at = to;
    return;
  }
  const { buffer, byteOffset, byteLength } = bytes;
  const text = Buffer.from(buffer, byteOffset, byteLength);
  sink.text(JSON.stringify(text.toString('utf8', begin, begin + length)));
}
