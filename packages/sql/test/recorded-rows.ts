/** Rows of a recording as the reference's own tools wrote them, in the terms of plain TypeScript. */

import { fixtureCases, loadFixture, type NativeFixture } from '@tracelake/test-kit';
import { busiestStream } from './documented-query.ts';

export type CsvRow = Readonly<Record<string, string>>;

export interface SpanRow {
  readonly id: number;
  readonly parent: number;
  readonly depth: number;
  readonly begin: bigint;
  readonly duration: number;
  readonly name: string;
}

export class RecordedRows {
  readonly fixture: NativeFixture;

  constructor(fixture: NativeFixture) {
    this.fixture = fixture;
  }

  of(view: string): CsvRow[] {
    const { header, rows } = this.fixture.expected(view);
    return rows.map((row) => Object.fromEntries(header.map((name, at) => [name, row[at] ?? ''])));
  }

  /** By time, which is the order of the file for rows of one time. */
  inOrder(view: string): CsvRow[] {
    return this.of(view).sort((a, b) => Number(BigInt(a.time ?? 0) - BigInt(b.time ?? 0)));
  }

  spansOf(stream: string): SpanRow[] {
    return this.of(`thread_spans.${stream}`).map((row) => ({
      id: Number(row.id),
      parent: Number(row.parent),
      depth: Number(row.depth),
      begin: BigInt(row.begin ?? 0),
      duration: Number(row.duration),
      name: row.name ?? '',
    }));
  }

  get busiestSpans(): SpanRow[] {
    return this.spansOf(busiestStream(this.fixture));
  }

  /** Threads that have spans. */
  get threads(): SpanRow[][] {
    return this.fixture
      .expectedThreadSpanStreams()
      .map((stream) => this.spansOf(stream))
      .filter((spans) => spans.length > 0);
  }

  get asyncSpans(): AsyncSpan[] {
    const events = this.of('async_events');
    const begins = events.filter((event) => event.event_type === 'begin');
    return begins.map((begin) => {
      const end = events.find(
        (event) => event.event_type === 'end' && event.span_id === begin.span_id,
      );
      const beginNs = BigInt(begin.time ?? 0);
      return { begin, end, beginNs, endNs: end && BigInt(end.time ?? 0) };
    });
  }
}

export interface AsyncSpan {
  readonly begin: CsvRow;
  readonly end: CsvRow | undefined;
  readonly beginNs: bigint;
  readonly endNs: bigint | undefined;
}

export function allRecordings(): RecordedRows[] {
  return fixtureCases().map((name) => new RecordedRows(loadFixture(name)));
}

/** Nanoseconds as the engine writes a TIMESTAMP_NS. */
export function timeText(time: string | bigint | undefined): string {
  const ns = BigInt(time ?? 0);
  const seconds = new Date(Number(ns / 1_000_000_000n) * 1000).toISOString().slice(0, 19);
  const fraction = String(ns % 1_000_000_000n)
    .padStart(9, '0')
    .replace(/0+$/, '');
  return `${seconds.replace('T', ' ')}${fraction && `.${fraction}`}`;
}

/** Groups in the order of their keys. */
export function grouped<Row>(rows: readonly Row[], key: (row: Row) => string): [string, Row[]][] {
  const groups = Object.groupBy(rows, key);
  return Object.entries(groups)
    .map(([name, group]): [string, Row[]] => [name, group ?? []])
    .sort(([a], [b]) => (a < b ? -1 : 1));
}

export function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

/** The least value that at least this share of the values does not exceed. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
}

/** Own time of each span: what its children, which name it as parent, do not cover. */
export function selfTimes(spans: readonly SpanRow[]): Map<SpanRow, number> {
  const byId = new Map(spans.map((span) => [span.id, span]));
  const own = new Map(spans.map((span) => [span, span.duration]));
  for (const span of spans) {
    const parent = span.depth === 0 ? undefined : byId.get(span.parent);
    if (parent !== undefined) own.set(parent, (own.get(parent) ?? 0) - span.duration);
  }
  return own;
}
