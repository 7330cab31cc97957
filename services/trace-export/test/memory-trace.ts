/**
 * The trace of a plan from rows in memory: what `startTrace` does with DuckDB over Parquet files, by other means.
 * Threads are merged by sorting, async spans are paired in maps.
 */

import { createHash } from 'node:crypto';
import { xxHash64OfText } from '@tracelake/bus';
import { ensureExists } from '@tracelake/domain';
import type { RowColumns, ViewSet } from '@tracelake/lakehouse';
import type { NsRange, ScopeText, SpanBatch, SpanSlice } from '@tracelake/parquet';
import { type RowObject, rowObjects } from '@tracelake/test-kit';
import { TraceAssembly } from '../src/trace-assembly.ts';
import type { TracePlan } from '../src/trace-plan.ts';
import { asyncEvents, threadSpans } from './arriving-process.ts';

/** Rows by object key. */
export type MemoryFiles = ReadonlyMap<string, RowColumns>;

/** SHA-256 (hex) of the trace's bytes. */
export async function memoryTraceHash(
  plan: TracePlan,
  files: MemoryFiles,
  openSpansMax: number,
): Promise<string> {
  const digest = createHash('sha256');
  const sink = {
    writeAll: async (bytes: Uint8Array) => void digest.update(bytes),
    flush: async () => {},
  };
  const assembly = new TraceAssembly({ plan, sink, hash: xxHash64OfText, openSpansMax });
  await assembly.writeTracks();
  for (const thread of plan.threads) {
    if (thread.files.length === 0) continue;
    const batches = thread.files.map(({ objectKey }) => spanBatchOf(rowsIn(files, objectKey)));
    await assembly.writeThread(thread, mergedSlices(batches, plan.range));
  }
  const events = plan.asyncFiles.flatMap(({ objectKey }) =>
    objectsOf(asyncEvents, rowsIn(files, objectKey)),
  );
  await assembly.writeAsyncSpans(pairedBatches(events, plan));
  await assembly.finish();
  return digest.digest('hex');
}

function rowsIn(files: MemoryFiles, objectKey: string): RowColumns {
  return ensureExists(files.get(objectKey), `file ${objectKey}`);
}

interface EventRow {
  readonly object: RowObject;
  readonly scope: number;
  readonly scopes: readonly ScopeText[];
}

/** Rows with their scopes, which all rows of a call share. */
function objectsOf(view: ViewSet, rows: RowColumns): EventRow[] {
  const scopes: ScopeText[] = [];
  const codeOf = new Map<string, number>();
  return rowObjects(view, rows).map((object) => {
    const { name, target, filename, line } = object;
    const key = JSON.stringify([name, target, filename, line]);
    let scope = codeOf.get(key);
    if (scope === undefined) {
      scope = scopes.push({ name, target, filename, line } as unknown as ScopeText) - 1;
      codeOf.set(key, scope);
    }
    return { object, scope, scopes };
  });
}

interface SpanBatchRows {
  readonly batch: SpanBatch;
  readonly objects: readonly RowObject[];
}

function spanBatchOf(rows: RowColumns): SpanBatchRows {
  const all = objectsOf(threadSpans, rows);
  const bigints = (name: string) => BigInt64Array.from(all, ({ object }) => object[name] as bigint);
  const batch: SpanBatch = {
    rowCount: all.length,
    id: bigints('id'),
    parent: bigints('parent'),
    depth: Uint32Array.from(all, ({ object }) => object.depth as number),
    begin: bigints('begin'),
    end: bigints('end'),
    scope: Uint32Array.from(all, ({ scope }) => scope),
    open: Uint8Array.from(all, ({ object }) => Number(object.open)),
    scopes: all[0]?.scopes ?? [],
    retained: undefined,
  };
  return { batch, objects: all.map(({ object }) => object) };
}

/** Rows that overlap the range, in canonical order; a slice is as long as its batch leads. */
async function* mergedSlices(
  batches: readonly SpanBatchRows[],
  range: NsRange,
): AsyncGenerator<SpanSlice, void, void> {
  const rows = batches
    .flatMap(({ batch, objects }) => objects.map((object, row) => ({ batch, row, object })))
    .filter(({ object }) => overlaps(object.begin as bigint, object.end as bigint, range))
    .sort((a, b) => compareBy(a.object, b.object, THREAD_ORDER));
  for (let first = 0; first < rows.length; ) {
    const { batch, row } = ensureExists(rows[first], 'row');
    let length = 1;
    while (rows[first + length]?.batch === batch && rows[first + length]?.row === row + length)
      length += 1;
    yield { batch, from: row, to: row + length };
    first += length;
  }
}

const SCOPE_ORDER = ['name', 'target', 'filename', 'line'];
const THREAD_ORDER = ['begin', 'id', 'end', 'depth', 'parent', 'open', ...SCOPE_ORDER];
const OCCURRENCE_ORDER = ['time', 'depth', 'parent_span_id', 'hash'];

function compareBy(a: RowObject, b: RowObject, names: readonly string[]): number {
  for (const name of names) {
    const [x, y] = [a[name] ?? 0, b[name] ?? 0];
    if (x !== y) return x < y ? -1 : 1;
  }
  return 0;
}

function overlaps(begin: bigint, end: bigint, range: NsRange): boolean {
  return begin <= range.endNs && end >= range.beginNs;
}

interface PairedSpan {
  readonly event: EventRow;
  readonly begin: bigint;
  readonly end: bigint;
  readonly open: boolean;
}

async function* pairedBatches(
  events: readonly EventRow[],
  plan: TracePlan,
): AsyncGenerator<SpanBatch, void, void> {
  const spans = [...Map.groupBy(events, ({ object }) => object.span_id as bigint).values()]
    .flatMap((ofId) => pairsOf(ofId, plan.openEndNs))
    .filter(({ begin, end }) => overlaps(begin, end, plan.range))
    .sort(comparePaired);
  for (const span of spans) yield batchOfOne(span);
}

/** First with first, of the events of one id. */
function pairsOf(events: readonly EventRow[], openEndNs: bigint): PairedSpan[] {
  const ofType = (type: string) =>
    events
      .filter(({ object }) => object.event_type === type)
      .sort((a, b) => compareBy(a.object, b.object, OCCURRENCE_ORDER));
  const ends = ofType('end');
  return ofType('begin').map((event, index) => {
    const begin = event.object.time as bigint;
    const ended = ends[index]?.object.time as bigint | undefined;
    const end = ended ?? openEndNs;
    return { event, begin, end: end < begin ? begin : end, open: ended === undefined };
  });
}

function comparePaired(a: PairedSpan, b: PairedSpan): number {
  const [x, y] = [a, b].map(({ event, end }) => ({ ...event.object, end }));
  const order = ['time', 'depth', 'span_id', 'end', 'parent_span_id', 'hash'];
  return compareBy(x as RowObject, y as RowObject, order);
}

function batchOfOne({ event, begin, end, open }: PairedSpan): SpanBatch {
  const { object, scope, scopes } = event;
  return {
    rowCount: 1,
    id: BigInt64Array.of(object.span_id as bigint),
    parent: BigInt64Array.of(object.parent_span_id as bigint),
    depth: Uint32Array.of(object.depth as number),
    begin: BigInt64Array.of(begin),
    end: BigInt64Array.of(end),
    scope: Uint32Array.of(scope),
    open: Uint8Array.of(Number(open)),
    scopes,
    retained: undefined,
  };
}
