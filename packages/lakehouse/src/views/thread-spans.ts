import { ensureExists, nanoseconds } from '@tracelake/domain';
import { decodeThreadSpanBlock } from '@tracelake/transit';
import { decodeInputOf } from '../block-decode-input.ts';
import { rowOfGreatest } from '../int64-halves.ts';
import type { SourceBlock } from '../partition.ts';
import type { RowColumns } from '../row-columns.ts';
import { type SpanEvents, SpanFold } from '../span-fold.ts';
import { SPAN_COLUMNS } from '../span-rows.ts';
import { threadDisplayName } from '../thread-name.ts';
import { timesOfTicks } from '../tick-conversion.ts';
import type { RunBuilder, RunContext, RunResult, ViewSet } from '../view.ts';

interface ThreadSpanEvents extends SpanEvents {
  readonly skippedEvents: number;
}

/** The spans of a thread: a call tree flattened, one row a span, with a row of depth 0 for each chain. */
export const view: ViewSet<ThreadSpanEvents> = {
  name: 'thread_spans',
  schemaVersion: 1,
  columns: SPAN_COLUMNS,
  instanceRule: 'stream',
  streamTag: 'cpu',
  eager: false,
  folds: true,
  timeColumns: { begin: 'begin', end: 'end' },
  sortColumns: ['begin', 'id'],
  moduleUrl: import.meta.url,

  parseBlock(input) {
    const decoded = decodeThreadSpanBlock(decodeInputOf(input));
    const { count, eventIds, kind, scope, scopes, skippedEvents } = decoded;
    const times = timesOfTicks(input.calibration, decoded.ticks);
    return { count, eventIds, times, kind, scope, scopes, skippedEvents };
  },

  transferList: ({ eventIds, times, kind, scope }) =>
    [eventIds, times, kind, scope].map(({ buffer }) => buffer as ArrayBuffer),

  createRunBuilder: (context, carryIn) => new ThreadSpansRunBuilder(context, carryIn),
};

class ThreadSpansRunBuilder implements RunBuilder<ThreadSpanEvents> {
  readonly keepsParsed = false;
  readonly #context: RunContext;
  readonly #fold: SpanFold;
  #skippedEvents = 0;

  constructor(context: RunContext, carryIn: Uint8Array | undefined) {
    this.#context = context;
    this.#fold = new SpanFold(context.calibration, carryIn);
  }

  add(block: SourceBlock, events: ThreadSpanEvents): void {
    const stream = ensureExists(this.#context.streams.get(block.streamId), 'stream of the block');
    this.#fold.addBlock(block, threadDisplayName(stream), events);
    this.#skippedEvents += events.skippedEvents;
  }

  finish(): RunResult {
    const { mismatchedEnds, orphanEnds, droppedSpans } = this.#fold;
    const rows = this.#fold.toColumns();
    return {
      rows,
      ...spanRange(rows),
      carryOut: this.#fold.carry(),
      tail: this.#fold.tail(),
      notes: { mismatchedEnds, orphanEnds, droppedSpans, skippedEvents: this.#skippedEvents },
    };
  }
}

const BEGIN = SPAN_COLUMNS.findIndex(({ name }) => name === 'begin');
const END = SPAN_COLUMNS.findIndex(({ name }) => name === 'end');

/** Rows stand by their begin; a client's clock that runs backward may end a span before it begins. */
function spanRange(rows: RowColumns): Pick<RunResult, 'minEventNs' | 'maxEventNs'> {
  const begins = timesIn(rows, BEGIN);
  const minNs = begins[0];
  let maxNs = begins[begins.length - 1];
  if (minNs === undefined || maxNs === undefined)
    return { minEventNs: undefined, maxEventNs: undefined };
  const ends = timesIn(rows, END);
  const lastEndNs = ends[rowOfGreatest(ends)];
  if (lastEndNs !== undefined && lastEndNs > maxNs) maxNs = lastEndNs;
  return { minEventNs: nanoseconds(minNs), maxEventNs: nanoseconds(maxNs) };
}

function timesIn(rows: RowColumns, index: number): BigInt64Array {
  const column = rows.columns[index];
  return column?.type === 'timestamp' ? column.values : new BigInt64Array(0);
}
