/** RFC 4180 as the query service writes it, from chunks cut anywhere: null is an empty field, '' a quoted one. */
import { CliError } from '../cli-error.ts';

export type CsvRow = readonly (string | null)[];

/** Reads rows, the header among them. Throws `cli.bad-answer` for an answer that ends inside a row. */
export async function* readCsvRows(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<CsvRow> {
  const decoder = new TextDecoder();
  const reader = new CsvReader();
  for await (const chunk of chunks) {
    yield* reader.push(decoder.decode(chunk, { stream: true }));
  }
  yield* reader.push(decoder.decode());
  if (reader.isInsideRow) throw new CliError('cli.bad-answer', 'the answer ends inside a row');
}

/** What ends a run of plain characters. */
const special = /[",\n\r]/g;

class CsvReader {
  #cells: (string | null)[] = [];
  #cell = '';
  #wasQuoted = false;
  #isQuoted = false;
  /** The last character was a quote in a quoted field: its end, or half of a doubled one. */
  #sawQuote = false;

  get isInsideRow(): boolean {
    const isInsideQuotes = this.#isQuoted && !this.#sawQuote;
    return isInsideQuotes || this.#cells.length > 0 || this.#cell !== '';
  }

  *push(text: string): Generator<CsvRow> {
    let at = 0;
    while (at < text.length) {
      if (this.#isQuoted) {
        at = this.#readQuoted(text, at);
        continue;
      }
      special.lastIndex = at;
      const next = special.exec(text)?.index ?? text.length;
      this.#cell += text.slice(at, next);
      at = next + 1;
      const row = this.#takeSpecial(text[next]);
      if (row !== undefined) yield row;
    }
  }

  /** Returns where the plain reading goes on. */
  #readQuoted(text: string, at: number): number {
    if (this.#sawQuote) {
      this.#sawQuote = false;
      if (text[at] !== '"') {
        this.#isQuoted = false;
        return at;
      }
      this.#cell += '"';
      return at + 1;
    }
    const quote = text.indexOf('"', at);
    this.#cell += text.slice(at, quote === -1 ? text.length : quote);
    if (quote === -1) return text.length;
    this.#sawQuote = true;
    return quote + 1;
  }

  #takeSpecial(character: string | undefined): CsvRow | undefined {
    if (character === '"') {
      this.#isQuoted = true;
      this.#wasQuoted = true;
    } else if (character === ',' || character === '\n') {
      this.#cells.push(this.#cell === '' && !this.#wasQuoted ? null : this.#cell);
      this.#cell = '';
      this.#wasQuoted = false;
      if (character === '\n') {
        const row = this.#cells;
        this.#cells = [];
        return row;
      }
    }
    return undefined;
  }
}
