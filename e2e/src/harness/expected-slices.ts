/** The slices a trace must hold, worked out from the rows that came with a recording. */

import type { DecodedTrace, NativeFixture } from '@tracelake/test-kit';

/** One slice as text, so that sets of slices compare: `begin|end|name|category|file|line|open`. */
export type SliceText = string;

/** Every thread span below the depth-0 row and every finished async span; open async ones apart. */
function expectedSlices(fixture: NativeFixture): {
  readonly closed: SliceText[];
  /** Begins of async spans without an end: the same text with no end. */
  readonly openAsync: SliceText[];
} {
  const closed: SliceText[] = [];
  for (const streamId of fixture.expectedThreadSpanStreams()) {
    for (const row of records(fixture, `thread_spans.${streamId}`)) {
      if (row('depth') === '0') continue;
      closed.push(sliceText(row, row('begin'), row('end')));
    }
  }
  const ends = new Map<string, string>();
  const events = records(fixture, 'async_events');
  for (const row of events) if (row('event_type') === 'end') ends.set(row('span_id'), row('time'));
  const openAsync: SliceText[] = [];
  for (const row of events) {
    if (row('event_type') !== 'begin') continue;
    const end = ends.get(row('span_id'));
    if (end === undefined) openAsync.push(sliceText(row, row('time'), ''));
    else closed.push(sliceText(row, row('time'), end));
  }
  return { closed: closed.sort(), openAsync: openAsync.sort() };
}

/** What is wrong with a trace beside what its recording says; empty when nothing is. */
export function findSliceDifferences(trace: DecodedTrace, fixture: NativeFixture): string[] {
  const expected = expectedSlices(fixture);
  const remaining = new Map<SliceText, number>();
  for (const text of expected.closed) remaining.set(text, (remaining.get(text) ?? 0) + 1);
  const openAsync = new Set(expected.openAsync);
  const problems: string[] = [...trace.problems];
  for (const slice of trace.slices) {
    const text = (end: bigint | '') =>
      [slice.beginNs, end, slice.name, slice.category, slice.file, slice.line].join('|');
    const count = remaining.get(text(slice.endNs)) ?? 0;
    if (count > 0) remaining.set(text(slice.endNs), count - 1);
    else if (slice.open && openAsync.delete(text(''))) continue;
    else problems.push(`unexpected slice ${text(slice.endNs)}`);
  }
  for (const [text, count] of remaining)
    if (count > 0) problems.push(`missing ${count} of ${text}`);
  for (const text of openAsync) problems.push(`missing open async span ${text}`);
  return problems;
}

type Row = (column: string) => string;

function records(fixture: NativeFixture, table: string): Row[] {
  const { header, rows } = fixture.expected(table);
  return rows.map((cells) => (column) => {
    const cell = cells[header.indexOf(column)];
    if (cell === undefined) throw new Error(`${table} has no column ${column}`);
    return cell;
  });
}

function sliceText(row: Row, begin: string, end: string): SliceText {
  return [begin, end, row('name'), row('target'), row('filename'), row('line')].join('|');
}
