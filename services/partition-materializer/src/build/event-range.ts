import { assert } from '@tracelake/domain';
import type { RowColumns, ViewSet } from '@tracelake/lakehouse';

export interface EventRange {
  readonly minEventNs: bigint | null;
  readonly maxEventNs: bigint | null;
}

/** The earliest begin and the latest end of the rows; null when there are none. */
export function eventRangeOf(view: ViewSet, rows: RowColumns): EventRange {
  if (rows.rowCount === 0) return { minEventNs: null, maxEventNs: null };
  const begins = timesOf(view, rows, view.timeColumns.begin);
  const ends = timesOf(view, rows, view.timeColumns.end);
  let minEventNs = begins[0] ?? 0n;
  let maxEventNs = ends[0] ?? 0n;
  for (let row = 1; row < rows.rowCount; row++) {
    const begin = begins[row] ?? minEventNs;
    const end = ends[row] ?? maxEventNs;
    if (begin < minEventNs) minEventNs = begin;
    if (end > maxEventNs) maxEventNs = end;
  }
  return { minEventNs, maxEventNs };
}

function timesOf(view: ViewSet, rows: RowColumns, name: string): BigInt64Array {
  const index = view.columns.findIndex((column) => column.name === name);
  const column = rows.columns[index];
  assert(column?.type === 'timestamp', `column ${name} of ${view.name} holds timestamps`);
  return column.values;
}
