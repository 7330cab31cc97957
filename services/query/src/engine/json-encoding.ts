import type { DuckDBDataChunk } from '@duckdb/node-api';
import { type CellStyle, cellTexts } from './cell-texts.ts';
import type { ResultColumn } from './result-columns.ts';
import type { ResultEncoder } from './result-encoder.ts';
import { integerText, jsonText } from './text-values.ts';

const STYLE: CellStyle = {
  null: 'null',
  quote: (text) => JSON.stringify(text),
  integer: integerText,
  number: (text) => text,
  other: jsonText,
};

/** Row objects: in one array, or one a line. */
export class JsonEncoder implements ResultEncoder {
  readonly #columns: readonly ResultColumn[];
  readonly #keys: readonly string[];
  readonly #shape: 'array' | 'lines';
  #hasRows = false;

  constructor(columns: readonly ResultColumn[], shape: 'array' | 'lines') {
    this.#columns = columns;
    this.#shape = shape;
    this.#keys = columns.map(({ name, index }) => {
      return `${index === 0 ? '{' : ','}${JSON.stringify(name)}:`;
    });
  }

  begin(): Uint8Array {
    return Buffer.from(this.#shape === 'array' ? '[' : '');
  }

  add(chunk: DuckDBDataChunk): Uint8Array {
    const cells = this.#columns.map((column) => cellTexts(chunk, column, STYLE));
    let text = '';
    for (let row = 0; row < chunk.rowCount; row++) {
      if (this.#shape === 'array') text += this.#hasRows ? ',\n' : '\n';
      this.#hasRows = true;
      for (let column = 0; column < cells.length; column++) {
        text += `${this.#keys[column]}${cells[column]?.[row]}`;
      }
      text += this.#shape === 'array' ? '}' : '}\n';
    }
    return Buffer.from(text);
  }

  end(): Uint8Array {
    return Buffer.from(this.#shape === 'array' ? '\n]\n' : '');
  }
}
