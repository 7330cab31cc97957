/**
 * Views defined by SQL over other views: one file of SQL each in `views/`, with `{{name}}` where a source
 * stands and `{{$name}}` where an argument does. The analysis puts them in place before the planner
 * sees the statement, so the planner meets only what it can read.
 */

import { readFileSync } from 'node:fs';
import { assert } from '@tracelake/domain';
import type { SourceRequest } from './source-ref.ts';
import { columnsFrom, type SqlColumn } from './sql-column.ts';
import { quoteText } from './sql-text.ts';

/** What an argument must be; ids are given to `sources` in their one form. */
export type ParameterRule = 'process' | 'stream-or-process' | 'block' | 'span-types';

export interface DerivedParameter {
  readonly name: string;
  readonly rule: ParameterRule;
  readonly optional?: boolean;
}

/** A derived view as the source of another. */
export interface DerivedRequest {
  readonly kind: 'derived';
  readonly name: string;
  readonly args: readonly string[];
}

/** A view that is SQL over other views. */
export interface DerivedView {
  readonly name: string;
  /** Whether its bare name stands for it without arguments. */
  readonly asTable: boolean;
  /** Only other views read it. */
  readonly internal?: boolean;
  readonly parameters: readonly DerivedParameter[];
  readonly columns: readonly SqlColumn[];
  /** What a call with these arguments reads, by the name that its SQL knows it by. */
  sources(args: readonly string[]): Readonly<Record<string, SourceRequest | DerivedRequest>>;
  /** Its SQL: `tableOf` gives the qualified table of a source. */
  sql(args: readonly string[], tableOf: (source: string) => string): string;
}

type Definition = Omit<DerivedView, 'sql'> & {
  /** Which file it is, by its arguments; the view's name unless said. */
  readonly file?: (args: readonly string[]) => string;
};

const KEYED_SPAN_COLUMNS = columnsFrom(`
  stream_id VARCHAR
  thread_name VARCHAR
  name VARCHAR
  target VARCHAR
  depth UINTEGER
  duration BIGINT
  key BIGINT
  parent_key BIGINT
`);

const DEFINITIONS: readonly Definition[] = [
  {
    name: 'async_spans',
    asTable: false,
    parameters: [{ name: 'process_id', rule: 'process' }],
    columns: columnsFrom(`
      span_id BIGINT
      parent_span_id BIGINT
      depth UINTEGER
      hash UINTEGER
      begin TIMESTAMP_NS
      end TIMESTAMP_NS
      duration BIGINT
      open BOOLEAN
      name VARCHAR
      target VARCHAR
      filename VARCHAR
      line UINTEGER
      begin_thread_id VARCHAR
      end_thread_id VARCHAR
    `),
    sources: ([processId = '']) => ({ async_events: asyncEvents(processId) }),
  },
  {
    name: 'process_spans',
    asTable: false,
    parameters: [
      { name: 'process_id', rule: 'process' },
      { name: 'types', rule: 'span-types' },
    ],
    columns: columnsFrom(`
      stream_id VARCHAR
      thread_name VARCHAR
      id BIGINT
      parent BIGINT
      depth UINTEGER
      hash UINTEGER
      begin TIMESTAMP_NS
      end TIMESTAMP_NS
      duration BIGINT
      name VARCHAR
      target VARCHAR
      filename VARCHAR
      line UINTEGER
    `),
    sources: ([processId = '', types]): Record<string, SourceRequest | DerivedRequest> => {
      if (types === 'thread') return { spans: spans(processId) };
      if (types === 'async') return { async_spans: derived('async_spans', processId) };
      return {
        threads: derived('process_spans', processId, 'thread'),
        async: derived('process_spans', processId, 'async'),
      };
    },
    file: ([, types = 'both']) => `process_spans.${types}`,
  },
  {
    name: 'flame_aggregate',
    asTable: false,
    parameters: [{ name: 'instance', rule: 'stream-or-process' }],
    columns: columnsFrom(`
      path VARCHAR[]
      depth BIGINT
      name VARCHAR
      target VARCHAR
      count BIGINT
      total_ns BIGINT
      self_ns BIGINT
    `),
    sources: ([instance = '']) => ({
      spans: spans(instance),
      keyed_spans: derived('keyed_spans', instance),
    }),
  },
  {
    name: 'span_stats',
    asTable: false,
    parameters: [{ name: 'instance', rule: 'stream-or-process' }],
    columns: columnsFrom(`
      name VARCHAR
      target VARCHAR
      count BIGINT
      total_ns BIGINT
      self_ns BIGINT
      min_ns BIGINT
      p50_ns BIGINT
      p95_ns BIGINT
      p99_ns BIGINT
      max_ns BIGINT
    `),
    sources: ([instance = '']) => ({ spans: spans(instance) }),
  },
  {
    name: 'keyed_spans',
    asTable: false,
    internal: true,
    parameters: [{ name: 'instance', rule: 'stream-or-process' }],
    columns: KEYED_SPAN_COLUMNS,
    sources: ([instance = '']) => ({ spans: spans(instance) }),
  },
  {
    name: 'log_patterns',
    asTable: true,
    parameters: [{ name: 'process_id', rule: 'process', optional: true }],
    columns: columnsFrom(`
      pattern VARCHAR
      target VARCHAR
      level INTEGER
      count BIGINT
      processes BIGINT
      first_time TIMESTAMP_NS
      last_time TIMESTAMP_NS
      example VARCHAR
    `),
    sources: ([instance = 'global']) => ({
      log_entries: { kind: 'view', viewSet: 'log_entries', instance },
    }),
  },
];

export const DERIVED_VIEWS: readonly DerivedView[] = DEFINITIONS.map(({ file, ...view }) => ({
  ...view,
  sql: (args, tableOf) => filledIn(file?.(args) ?? view.name, view.parameters, args, tableOf),
}));

function asyncEvents(instance: string): SourceRequest {
  return { kind: 'view', viewSet: 'async_events', instance };
}

function spans(id: string): SourceRequest {
  return { kind: 'function', name: 'spans', args: [id] };
}

function derived(name: string, ...args: string[]): DerivedRequest {
  return { kind: 'derived', name, args };
}

function filledIn(
  file: string,
  parameters: readonly DerivedParameter[],
  args: readonly string[],
  tableOf: (source: string) => string,
): string {
  return templateOf(file).replace(
    /\{\{(\$?)(\w+)\}\}/g,
    (_mark, argument: string, name: string) => {
      if (argument === '') return tableOf(name);
      const value = args[parameters.findIndex((parameter) => parameter.name === name)];
      assert(value !== undefined, `argument ${name} of ${file}`);
      return quoteText(value);
    },
  );
}

/** Read once: a statement waits for them. */
const templates = new Map<string, string>();

function templateOf(file: string): string {
  const known = templates.get(file);
  if (known !== undefined) return known;
  const text = readFileSync(new URL(`./views/${file}.sql`, import.meta.url), 'utf8');
  templates.set(file, text);
  return text;
}
