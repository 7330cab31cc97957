import { decodeAsyncSpanBlock, type SpanScope } from '@tracelake/transit';
import { decodeInputOf } from '../block-decode-input.ts';
import { type BlockRows, BlockRowsRunBuilder, type GatheredRows } from '../block-rows.ts';
import type { Column } from '../row-columns.ts';
import { timesOfTicks } from '../tick-conversion.ts';
import type { ViewSet } from '../view.ts';

interface AsyncRows extends BlockRows {
  /** 0 begin, 1 end. */
  readonly kind: Uint8Array;
  readonly spanIds: BigInt64Array;
  readonly parentSpanIds: BigInt64Array;
  readonly depth: Uint32Array;
  readonly scope: Uint32Array;
  readonly scopes: SpanScope[];
}

const EVENT_TYPES = ['begin', 'end'];

/**
 * Begin and end events of the async spans of a process, on whichever thread they happened; whoever reads them
 * pairs them by `span_id`.
 */
export const view: ViewSet<AsyncRows> = {
  name: 'async_events',
  schemaVersion: 1,
  columns: [
    { name: 'stream_id', type: 'string' },
    { name: 'block_id', type: 'string' },
    { name: 'time', type: 'timestamp' },
    { name: 'event_type', type: 'string' },
    { name: 'span_id', type: 'i64' },
    { name: 'parent_span_id', type: 'i64' },
    { name: 'depth', type: 'u32' },
    { name: 'hash', type: 'u32' },
    { name: 'name', type: 'string' },
    { name: 'filename', type: 'string' },
    { name: 'target', type: 'string' },
    { name: 'line', type: 'u32' },
    { name: 'thread_id', type: 'string' },
  ],
  instanceRule: 'process',
  streamTag: 'cpu',
  eager: false,
  folds: false,
  timeColumns: { begin: 'time', end: 'time' },
  sortColumns: ['time', 'stream_id'],
  moduleUrl: import.meta.url,

  parseBlock(input) {
    const decoded = decodeAsyncSpanBlock(decodeInputOf(input));
    return {
      rowCount: decoded.count,
      eventIds: decoded.eventIds,
      times: timesOfTicks(input.calibration, decoded.ticks),
      skippedEvents: decoded.skippedEvents,
      kind: decoded.kind,
      spanIds: decoded.spanIds,
      parentSpanIds: decoded.parentSpanIds,
      depth: decoded.depth,
      scope: decoded.scope,
      scopes: decoded.scopes,
    };
  },

  transferList: ({ eventIds, times, kind, spanIds, parentSpanIds, depth, scope }) =>
    [eventIds, times, kind, spanIds, parentSpanIds, depth, scope].map(
      ({ buffer }) => buffer as ArrayBuffer,
    ),

  createRunBuilder: () =>
    new BlockRowsRunBuilder((gathered) => [
      gathered.blockTexts((block) => block.streamId),
      gathered.blockTexts((block) => block.blockId),
      { type: 'timestamp', values: gathered.bigints((rows) => rows.times) },
      gathered.texts(({ kind }) => ({ codes: kind, texts: EVENT_TYPES })),
      { type: 'i64', values: gathered.bigints((rows) => rows.spanIds) },
      { type: 'i64', values: gathered.bigints((rows) => rows.parentSpanIds) },
      { type: 'u32', values: gathered.unsigned((rows) => rows.depth) },
      scopeNumbers(gathered, (scope) => scope.hash),
      scopeTexts(gathered, (scope) => scope.name),
      scopeTexts(gathered, (scope) => scope.filename),
      scopeTexts(gathered, (scope) => scope.target),
      scopeNumbers(gathered, (scope) => scope.line),
      gathered.blockTexts((block) => block.streamId),
    ]),
};

function scopeTexts(gathered: GatheredRows<AsyncRows>, pick: (scope: SpanScope) => string): Column {
  return gathered.texts(({ scope, scopes }) => ({ codes: scope, texts: scopes.map(pick) }));
}

function scopeNumbers(
  gathered: GatheredRows<AsyncRows>,
  pick: (scope: SpanScope) => number,
): Column {
  const values = gathered.unsigned(({ scope, scopes }) => {
    const byScope = Uint32Array.from(scopes, pick);
    return scope.map((code) => byScope[code] ?? 0);
  });
  return { type: 'u32', values };
}
