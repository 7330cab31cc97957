import type { DuckDBDataChunk, DuckDBValue } from '@duckdb/node-api';
import { type CellStyle, cellTexts } from './cell-texts.ts';
import type { ResultColumn } from './result-columns.ts';
import type { ResultEncoder } from './result-encoder.ts';
import { jsonText, plainText } from './text-values.ts';

/** Null is an empty field and the empty text a quoted one, so that they stay apart. */
const STYLE: CellStyle = {
  null: '',
  quote: quoteField,
  integer: (value) => value.toString(),
  number: (text) => text.replaceAll('"', ''),
  other: (value) => quoteField(isNested(value) ? jsonText(value) : plainText(value)),
};

/** RFC 4180 with a header line and LF; nested values are JSON text. */
export class CsvEncoder implements ResultEncoder {
  readonly #columns: readonly ResultColumn[];

  constructor(columns: readonly ResultColumn[]) {
    this.#columns = columns;
  }

  begin(): Uint8Array {
    return Buffer.from(`${this.#columns.map(({ name }) => quoteField(name)).join(',')}\n`);
  }

  add(chunk: DuckDBDataChunk): Uint8Array {
    const cells = this.#columns.map((column) => cellTexts(chunk, column, STYLE));
    let text = '';
    for (let row = 0; row < chunk.rowCount; row++) {
      for (let column = 0; column < cells.length; column++) {
        text += `${column === 0 ? '' : ','}${cells[column]?.[row]}`;
      }
      text += '\n';
    }
    return Buffer.from(text);
  }

  end(): Uint8Array {
    return new Uint8Array(0);
  }
}

function quoteField(text: string): string {
  if (text !== '' && !/[",\r\n]/.test(text)) return text;
  return `"${text.replaceAll('"', '""')}"`;
}

function isNested(value: DuckDBValue): boolean {
  return typeof value === 'object' && value !== null && ('items' in value || 'entries' in value);
}
