import type { CsvRow, RecordedRows } from './recorded-rows.ts';

export type Cell = string | number | boolean | null;

/** The rows of a query, worked out from a recording without any SQL. */
export type Answer = (recorded: RecordedRows) => Cell[][];

export const text = (row: CsvRow | undefined, name: string): string => row?.[name] ?? '';

export const number = (row: CsvRow | undefined, name: string): number => Number(text(row, name));

/** Rows in the order of their first cells. */
export const byText = (a: Cell[], b: Cell[]): number =>
  JSON.stringify(a) < JSON.stringify(b) ? -1 : 1;
