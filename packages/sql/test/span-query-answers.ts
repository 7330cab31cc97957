/** What the queries about spans must answer. */

import { type Answer, byText, number, text } from './query-answer.ts';
import {
  type CsvRow,
  grouped,
  quantile,
  type SpanRow,
  selfTimes,
  sum,
  timeText,
} from './recorded-rows.ts';

export const SPAN_ANSWERS: Readonly<Record<string, Answer>> = {
  'Longest spans of a thread': (recorded) =>
    recorded.busiestSpans
      .filter((span) => span.depth > 0)
      .sort((a, b) => b.duration - a.duration || a.id - b.id)
      .slice(0, 10)
      .map(({ name, id, depth, begin, duration }) => [name, id, depth, timeText(begin), duration]),

  'Spans by name: calls, total, own time and percentiles': (recorded) =>
    spanStats([recorded.busiestSpans])
      .map(({ name, durations, total, own }) => [
        ...[name, durations.length, total, own],
        ...[0.5, 0.95, 0.99].map((share) => quantile(durations, share)),
      ])
      .sort((a, b) => Number(b[2]) - Number(a[2])),

  'The same over all threads of a process': (recorded) =>
    spanStats(recorded.threads).map(({ name, durations, total, own }) => [
      ...[name, durations.length, total, own],
      ...[Math.min(...durations), Math.max(...durations)],
    ]),

  'Call tree, same paths added up': (recorded) => {
    const frames = recorded.threads.flatMap((spans) => {
      const own = selfTimes(spans);
      return spans.map((span) => ({ span, own: own.get(span) ?? 0, path: pathOf(span, spans) }));
    });
    return grouped(frames, ({ path }) => path.join(' > ')).map(([path, group]) => [
      ...[path, group[0]?.span.depth ?? 0, group.length],
      ...[sum(group.map(({ span }) => span.duration)), sum(group.map(({ own }) => own))],
    ]);
  },

  'Spans slower than twice the mean of their name': (recorded) =>
    grouped(recorded.busiestSpans, ({ name }) => name)
      .map(([name, spans]): [string, number] => {
        const mean = sum(spans.map(({ duration }) => duration)) / spans.length;
        return [name, spans.filter(({ duration }) => duration > 2 * mean).length];
      })
      .filter(([, slow]) => slow > 0),

  'Who calls what': (recorded) => {
    const byId = new Map(recorded.busiestSpans.map((span) => [span.id, span]));
    const calls = recorded.busiestSpans.filter(({ depth }) => depth > 1);
    const pair = (span: SpanRow): string =>
      JSON.stringify([byId.get(span.parent)?.name ?? '', span.name]);
    return grouped(calls, pair).map(([key, spans]) => [
      ...(JSON.parse(key) as [string, string]),
      spans.length,
    ]);
  },

  'From a deepest span up to the root': (recorded) => {
    const spans = recorded.busiestSpans;
    const [deepest] = spans.toSorted((a, b) => b.depth - a.depth || a.id - b.id);
    return deepest === undefined ? [] : pathOf(deepest, spans).map((name, depth) => [depth, name]);
  },

  'Spans of each thread': (recorded) => {
    const lasting = recorded.asyncSpans.flatMap(({ begin, beginNs, endNs = 0n }) =>
      endNs > beginNs ? [{ depth: number(begin, 'depth'), duration: Number(endNs - beginNs) }] : [],
    );
    const threads = recorded.threads.map(
      (spans): [string, { depth: number; duration: number }[]] => [
        spans.find(({ depth }) => depth === 0)?.name ?? '',
        spans,
      ],
    );
    return [...threads, ['async', lasting] as const]
      .map(([name, spans]) => [
        ...[name, spans.length, Math.max(...spans.map(({ depth }) => depth))],
        sum(spans.filter(({ depth }) => depth === 1).map(({ duration }) => duration)),
      ])
      .sort(byText);
  },

  'Async spans with both ends, longest first': (recorded) =>
    recorded.asyncSpans
      .sort((a, b) => Number((b.endNs ?? 0n) - b.beginNs - ((a.endNs ?? 0n) - a.beginNs)))
      .slice(0, 10)
      .map(({ begin, beginNs, endNs = 0n }) => [
        ...[text(begin, 'name'), text(begin, 'depth'), timeText(beginNs), timeText(endNs)],
        ...[Number(endNs - beginNs), false],
      ]),

  'Async spans that change threads': (recorded) =>
    grouped(recorded.asyncSpans, ({ begin }) => text(begin, 'name')).map(([name, spans]) => [
      name,
      spans.filter(({ begin, end }) => begin.stream_id !== end?.stream_id).length,
      spans.length,
    ]),

  'Most async spans at once': (recorded) => {
    let [running, most] = [0, 0];
    const ends = (row: CsvRow): number => (row.event_type === 'end' ? 0 : 1);
    const events = recorded.inOrder('async_events');
    events.sort((a, b) => compareTimes(a, b) || ends(a) - ends(b));
    for (const event of events) {
      running += event.event_type === 'begin' ? 1 : -1;
      most = Math.max(most, running);
    }
    return [[most]];
  },

  'Names of spans that no async span has': (recorded) => {
    const asyncNames = new Set(recorded.of('async_events').map((row) => row.name));
    const names = recorded.busiestSpans.filter(({ depth }) => depth > 0).map(({ name }) => name);
    return [...new Set(names)]
      .filter((name) => !asyncNames.has(name))
      .sort()
      .map((name) => [name]);
  },

  'Async events in order': (recorded) =>
    recorded
      .inOrder('async_events')
      .slice(0, 10)
      .map((row) => [
        ...[text(row, 'span_id'), text(row, 'parent_span_id'), text(row, 'event_type')],
        ...[timeText(row.time), text(row, 'stream_id'), text(row, 'name'), text(row, 'target')],
      ]),

  'Async events by thread': (recorded) =>
    grouped(
      recorded.of('async_events').filter((row) => row.event_type === 'begin'),
      (row) => text(row, 'stream_id'),
    )
      .map(([thread, rows]): [string, number] => [thread, rows.length])
      .sort(([, a], [, b]) => b - a),

  'Async parents and children': (recorded) => {
    const begins = recorded.of('async_events').filter((row) => row.event_type === 'begin');
    return begins
      .flatMap((parent) =>
        begins
          .filter((child) => child.parent_span_id === parent.span_id)
          .map((child): [CsvRow, CsvRow] => [parent, child]),
      )
      .sort(
        ([a, c], [b, d]) =>
          number(a, 'span_id') - number(b, 'span_id') ||
          number(c, 'span_id') - number(d, 'span_id'),
      )
      .slice(0, 10)
      .map(([parent, child]) => [
        ...[text(parent, 'name'), text(child, 'name'), text(parent, 'span_id')],
        text(child, 'parent_span_id'),
      ]);
  },

  'Longest async operations': (recorded) =>
    recorded.asyncSpans
      .map(({ begin, beginNs, endNs = 0n }): [string, string, number] => [
        ...([text(begin, 'name'), text(begin, 'stream_id')] as const),
        Number(endNs - beginNs) / 1e6,
      ])
      .sort(([, , a], [, , b]) => b - a)
      .slice(0, 10),
};

function compareTimes(a: CsvRow, b: CsvRow): number {
  return Number(BigInt(text(a, 'time')) - BigInt(text(b, 'time')));
}

interface SpanStats {
  readonly name: string;
  readonly durations: number[];
  readonly total: number;
  readonly own: number;
}

function spanStats(threads: readonly SpanRow[][]): SpanStats[] {
  const timed = threads.flatMap((spans) => [...selfTimes(spans)]);
  const inner = timed.filter(([{ depth }]) => depth > 0);
  return grouped(inner, ([{ name }]) => name).map(([name, group]) => {
    const durations = group.map(([{ duration }]) => duration);
    return { name, durations, total: sum(durations), own: sum(group.map(([, own]) => own)) };
  });
}

/** Names from the root down. */
function pathOf(span: SpanRow, spans: readonly SpanRow[]): string[] {
  const parent = spans.find(({ id }) => id === span.parent);
  return span.depth === 0 || parent === undefined
    ? [span.name]
    : [...pathOf(parent, spans), span.name];
}
