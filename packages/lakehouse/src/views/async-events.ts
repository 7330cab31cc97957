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
    new BlockRowsRunBuilder((gathered) => {
      const scope = scopeColumns(gathered);
      return [
        gathered.blockTexts((block) => block.streamId),
        gathered.blockTexts((block) => block.blockId),
        { type: 'timestamp', values: gathered.bigints((rows) => rows.times) },
        gathered.texts(({ kind }) => ({ codes: kind, texts: EVENT_TYPES })),
        { type: 'i64', values: gathered.bigints((rows) => rows.spanIds) },
        { type: 'i64', values: gathered.bigints((rows) => rows.parentSpanIds) },
        { type: 'u32', values: gathered.unsigned((rows) => rows.depth) },
        scope.numbers((one) => one.hash),
        scope.texts((one) => one.name),
        scope.texts((one) => one.filename),
        scope.texts((one) => one.target),
        scope.numbers((one) => one.line),
        gathered.blockTexts((block) => block.streamId),
      ];
    }),
};

/** Columns of the rows' scopes, all by the same codes. */
function scopeColumns(gathered: GatheredRows<AsyncRows>): {
  texts(pick: (scope: SpanScope) => string): Column;
  numbers(pick: (scope: SpanScope) => number): Column;
} {
  const scopes = gathered.blocks.flatMap(({ rows }) => rows.scopes);
  const codes = gathered.joinedCodes(({ scope, scopes: { length } }) => {
    return { codes: scope, entryCount: length };
  });
  return {
    texts: (pick) => ({ type: 'string', codes, dictionary: scopes.map(pick) }),
    numbers: (pick) => {
      const byScope = Uint32Array.from(scopes, pick);
      const values = new Uint32Array(codes.length);
      for (let row = 0; row < values.length; row++) values[row] = byScope[codes[row] ?? 0] ?? 0;
      return { type: 'u32', values };
    },
  };
}
