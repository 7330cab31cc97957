/** What the queries of `docs/queries.md` must answer, worked out from the recordings without any SQL. */

import { type Answer, byText, number, text } from './query-answer.ts';
import {
  allRecordings,
  type CsvRow,
  grouped,
  quantile,
  type RecordedRows,
  sum,
  timeText,
} from './recorded-rows.ts';
import { SPAN_ANSWERS } from './span-query-answers.ts';

const processProperties = (recorded: RecordedRows): Record<string, string> =>
  JSON.parse(text(recorded.of('processes')[0], 'properties'));

const named = (recorded: RecordedRows, name: string): number[] =>
  recorded
    .inOrder('measures')
    .filter((row) => row.name === name)
    .map((row) => number(row, 'value'));

export const ANSWERS: Readonly<Record<string, Answer>> = {
  'Processes that ran a program, with the number of their blocks': () =>
    allRecordings()
      .map((each) => [each.fixture.processId, 'sample-app', each.of('blocks').length])
      .sort(byText),

  'A property of a process, whatever its case': (recorded) => {
    const properties = processProperties(recorded);
    return [[properties.scenario ?? null, Object.keys(properties).length]];
  },

  'Properties of a process as rows': (recorded) =>
    // The engine orders text by its UTF-8 bytes.
    Object.entries(processProperties(recorded)).sort(([a], [b]) =>
      Buffer.compare(Buffer.from(a), Buffer.from(b)),
    ),

  'Blocks and objects by tag': (recorded) =>
    grouped(recorded.of('blocks'), (row) => text(row, 'streams.tags').slice(2, -2)).map(
      ([tag, rows]) => [tag, rows.length, sum(rows.map((row) => number(row, 'nb_objects')))],
    ),

  'Blocks with events of threads': (recorded) =>
    recorded
      .of('blocks')
      .filter((row) => text(row, 'streams.tags') === "['cpu']")
      .map((row) => [text(row, 'block_id'), timeText(row.begin_time), timeText(row.end_time)])
      .sort(([, a], [, b]) => (String(a) < String(b) ? -1 : 1)),

  'Log entries by level': (recorded) =>
    grouped(recorded.of('log_entries'), (row) => text(row, 'level')).map(([level, rows]) => [
      level,
      rows.length,
    ]),

  'Log entries that contain a text': (recorded) =>
    recorded
      .inOrder('log_entries')
      .filter((row) => text(row, 'msg').includes('slow request'))
      .slice(0, 20)
      .map((row) => [timeText(row.time), text(row, 'level'), text(row, 'msg')]),

  'Log entries over time': (recorded) =>
    grouped(recorded.of('log_entries'), (row) =>
      timeText((BigInt(text(row, 'time')) / 100_000n) * 100_000n),
    ).map(([bucket, rows]) => [bucket, rows.length]),

  'Longest silences of a log': (recorded) => {
    const entries = recorded.inOrder('log_entries');
    return entries
      .slice(1)
      .map((row, at): [number, string] => [
        Number(BigInt(text(row, 'time')) - BigInt(text(entries[at], 'time'))),
        text(row, 'msg'),
      ])
      .sort(([a, m], [b, n]) => b - a || (m < n ? -1 : 1))
      .slice(0, 5);
  },

  'Log entries with properties': (recorded) =>
    recorded
      .inOrder('log_entries')
      .filter((row) => row.properties !== '{}')
      .map((row) => {
        const properties = JSON.parse(text(row, 'properties')) as Record<string, string>;
        return [text(row, 'msg'), properties.zone ?? null, text(row, 'properties')];
      }),

  'Levels by target, side by side': (recorded) =>
    grouped(recorded.of('log_entries'), (row) => text(row, 'target')).map(([target, rows]) => [
      target,
      ...['2', '3', '4'].map((level) => rows.filter((row) => row.level === level).length),
    ]),

  'Messages by pattern': (recorded) =>
    grouped(
      recorded.inOrder('log_entries'),
      (row) => `${text(row, 'msg').split(/\d/)[0]}${row.level}`,
    )
      .map(([, rows]) => [
        text(rows[0], 'msg').replace(/\d+/g, '<num>'),
        text(rows[0], 'level'),
        rows.length,
        timeText(rows[0]?.time),
        text(rows[0], 'msg'),
      ])
      .sort((a, b) => Number(b[2]) - Number(a[2])),

  'All logs of the lake by process': () =>
    allRecordings()
      .map((each): [string, CsvRow[]] => [each.fixture.processId, each.of('log_entries')])
      .filter(([, rows]) => rows.length > 0)
      .map(([id, rows]) => [id, rows.length, Math.max(...rows.map((row) => number(row, 'level')))])
      .sort(byText),

  'Measures by name': (recorded) =>
    grouped(recorded.of('measures'), (row) => text(row, 'name')).map(([name, rows]) => {
      const values = rows.map((row) => number(row, 'value'));
      const mean = sum(values) / values.length;
      const unit = text(rows[0], 'unit');
      return [name, unit, values.length, Math.min(...values), mean, Math.max(...values)];
    }),

  'Percentiles of a measure': (recorded) => {
    const values = named(recorded, 'latency');
    return [[0.5, 0.95, 0.99].map((share) => quantile(values, share))];
  },

  'Histogram of a measure': (recorded) => {
    const values = named(recorded, 'latency');
    return Array.from({ length: 10 }, (_, bin) => [
      bin * 50 + 25,
      values.filter((value) => Math.min(9, Math.floor(value / 50)) === bin).length,
    ]);
  },

  'A measure and its change': (recorded) => {
    const rows = recorded.inOrder('measures').filter((row) => row.name === 'requests');
    return rows.slice(0, 50).map((row, at) => {
      const change = at === 0 ? null : number(row, 'value') - number(rows[at - 1], 'value');
      return [timeText(row.time), number(row, 'value'), change];
    });
  },

  'The log entry before each measure': (recorded) => {
    const entries = recorded.inOrder('log_entries');
    return recorded.inOrder('measures').map((row) => {
      const before = entries.findLast(
        (entry) => BigInt(text(entry, 'time')) <= BigInt(text(row, 'time')),
      );
      return [text(row, 'name'), number(row, 'value'), text(before, 'msg')];
    });
  },

  ...SPAN_ANSWERS,

  'View sets': () =>
    ['async_events', 'log_entries', 'measures', 'thread_spans'].map((name) => [
      name,
      name === 'log_entries' || name === 'measures',
    ]),

  'Columns of a view': () => [
    ...['id', 'parent'].map((name) => [name, 'BIGINT']),
    ...['depth', 'hash'].map((name) => [name, 'UINTEGER']),
    ...['begin', 'end'].map((name) => [name, 'TIMESTAMP_NS']),
    ['duration', 'BIGINT'],
    ...['name', 'target', 'filename'].map((name) => [name, 'VARCHAR']),
    ['line', 'UINTEGER'],
    ['open', 'BOOLEAN'],
  ],
};
