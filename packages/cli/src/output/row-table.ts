/** A table of rows that come one by one, as wide as the terminal, in bounded memory. */
import { cutToWidth, displayWidth, printable } from './terminal-text.ts';

export interface RowTableOptions {
  readonly header: readonly string[];
  /** Cells of the terminal; undefined never cuts. */
  readonly widthMax: number | undefined;
  /** Columns that hold quantities; those that hold numbers alone are found without. */
  readonly rightAligned?: readonly number[];
  readonly write: (text: string) => Promise<void>;
}

type Row = readonly (string | null)[];

/** So many rows decide how wide the columns are; those after them keep to it. */
const measuredRowsMax = 1000;
const columnWidthMin = 4;
const gap = '  ';
const numeric = /^-?(?:\d+(?:\.\d+)?(?:e[-+]?\d+)?|NaN|-?Infinity)$/i;

export class RowTable {
  readonly #options: RowTableOptions;
  #measured: string[][] | undefined = [];
  #widths: readonly number[] = [];
  #isNumber: readonly boolean[] = [];
  #rowCount = 0;

  constructor(options: RowTableOptions) {
    this.#options = options;
  }

  get rowCount(): number {
    return this.#rowCount;
  }

  async add(row: Row): Promise<void> {
    this.#rowCount += 1;
    const cells = row.map((cell) => (cell === null ? '' : printable(cell)));
    if (this.#measured === undefined) return await this.#options.write(this.#line(cells));
    this.#measured.push(cells);
    if (this.#measured.length >= measuredRowsMax) await this.flush();
  }

  /** Writes the rows that were kept for measuring; to be called at the end, and when rows are slow. */
  async flush(): Promise<void> {
    const rows = this.#measured;
    if (rows === undefined) return;
    this.#measured = undefined;
    const header = this.#options.header.map(printable);
    const natural = header.map((title, column) =>
      rows.reduce(
        (most, row) => Math.max(most, displayWidth(row[column] ?? '')),
        displayWidth(title),
      ),
    );
    this.#widths = fitWidths(natural, this.#options.widthMax);
    this.#isNumber = header.map(
      (_title, column) =>
        this.#options.rightAligned?.includes(column) === true || isNumberColumn(rows, column),
    );
    const rule = this.#widths.map((width) => '─'.repeat(width)).join(gap);
    await this.#options.write(`${this.#line(header)}${rule}\n`);
    await this.#options.write(rows.map((row) => this.#line(row)).join(''));
  }

  #line(cells: readonly string[]): string {
    const padded = this.#widths.map((width, column) => {
      const cell = cutToWidth(cells[column] ?? '', width);
      const padding = ' '.repeat(Math.max(width - displayWidth(cell), 0));
      return this.#isNumber[column] === true ? padding + cell : cell + padding;
    });
    return `${padded.join(gap).trimEnd()}\n`;
  }
}

/** Takes from the widest columns until the line fits; none gets narrower than a few cells. */
export function fitWidths(natural: readonly number[], widthMax: number | undefined): number[] {
  if (widthMax === undefined) return [...natural];
  const room = widthMax - gap.length * (natural.length - 1);
  let limit = Math.max(...natural, columnWidthMin);
  const total = () => natural.reduce((sum, width) => sum + Math.min(width, limit), 0);
  while (limit > columnWidthMin && total() > room) limit -= 1;
  const widths = natural.map((width) => Math.min(width, limit));
  // What the last step took beyond need goes back to the columns from the left.
  let spare = room - widths.reduce((sum, width) => sum + width, 0);
  return widths.map((width, column) => {
    if (spare <= 0 || width >= (natural[column] ?? 0)) return width;
    spare -= 1;
    return width + 1;
  });
}

function isNumberColumn(rows: readonly (readonly string[])[], column: number): boolean {
  let hasNumber = false;
  for (const row of rows) {
    const cell = row[column] ?? '';
    if (cell === '') continue;
    if (!numeric.test(cell)) return false;
    hasNumber = true;
  }
  return hasNumber;
}
