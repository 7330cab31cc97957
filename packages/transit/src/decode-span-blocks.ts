/**
 * Decoders of `cpu` streams. Where the layouts of a block's events are those of the known clients, the tables made
 * of their metadata drive one specialised loop; any other layout goes through the general one, event by event.
 * Hot loops: no object, closure or bigint arithmetic for an event; measured by `bench/decode.bench.ts`.
 */
import {
  type BlockDecodeInput,
  countPlanned,
  EventIdColumn,
  type OpenBlock,
  openBlockBriefly,
  planOccurringTypes,
} from './block-decoding.ts';
import { RecentIds } from './recent-ids.ts';
import {
  type AsyncSpanEventPlan,
  isSpanEventType,
  planAsyncSpanEvent,
  planThreadSpanEvent,
  type SpanEventPlan,
} from './span-event-plan.ts';
import {
  type AsyncSpanEventTables,
  asyncSpanEventTablesOf,
  NOT_DECODED,
  type SpanEventTables,
  spanEventTablesOf,
} from './span-event-tables.ts';
import { type SpanScope, SpanScopes } from './span-scopes.ts';

/** Thread span events of a block, one row each, in the order they were recorded. */
export interface ThreadSpanBlockColumns {
  readonly count: number;
  readonly eventIds: BigInt64Array;
  /** Absolute ticks of the producer's clock. */
  readonly ticks: BigInt64Array;
  /** 0 begin, 1 end. */
  readonly kind: Uint8Array;
  /** Index into `scopes`. */
  readonly scope: Uint32Array;
  /** Each scope is there once. */
  readonly scopes: SpanScope[];
  /** Records of types this version does not know; they take event ids all the same. */
  readonly skippedEvents: number;
}

/** Async span events of a block, one row each, in the order they were recorded. */
export interface AsyncSpanBlockColumns extends ThreadSpanBlockColumns {
  readonly spanIds: BigInt64Array;
  /** 0: no parent. */
  readonly parentSpanIds: BigInt64Array;
  readonly depth: Uint32Array;
}

/** How a block is decoded; what comes out is the same. */
export interface SpanDecodeOptions {
  /** Only the general loop, whatever the layouts: for tests and benches that compare the two. */
  readonly isGeneral?: boolean;
}

/**
 * Decodes the thread spans of a block of a `cpu` stream into columns; async spans only take event ids.
 *
 * Errors: `TransitDecodeError`: the codes of `decodeLogBlock`.
 */
export function decodeThreadSpanBlock(
  input: BlockDecodeInput,
  { isGeneral = false }: SpanDecodeOptions = {},
): ThreadSpanBlockColumns {
  const block = openBlockBriefly(input);
  const plans = planOccurringTypes(block, (type) => planThreadSpanEvent(block.objects, type));
  const columns = new SpanColumns(block, input, countPlanned(block, plans));
  const tables = isGeneral ? undefined : spanEventTablesOf(plans);
  if (tables === undefined) addPlannedEvents(block, plans, columns);
  else columns.addKnownEvents(tables);
  return columns.finish();
}

/**
 * Decodes the async spans of a block of a `cpu` stream into columns; thread spans only take event ids.
 *
 * Errors: `TransitDecodeError`: the codes of `decodeLogBlock`.
 */
export function decodeAsyncSpanBlock(
  input: BlockDecodeInput,
  { isGeneral = false }: SpanDecodeOptions = {},
): AsyncSpanBlockColumns {
  const block = openBlockBriefly(input);
  const plans = planOccurringTypes(block, (type) => planAsyncSpanEvent(block.objects, type));
  const count = countPlanned(block, plans);
  const columns = new SpanColumns(block, input, count);
  const identity = new AsyncIdentityColumns(block, count);
  const tables = isGeneral ? undefined : asyncSpanEventTablesOf(plans);
  if (tables === undefined) {
    addPlannedEvents(block, plans, columns, identity);
  } else {
    columns.addKnownEvents(tables);
    identity.addKnownEvents(tables);
  }
  const { spanIds, parentSpanIds, depth } = identity;
  return { ...columns.finish(), spanIds, parentSpanIds, depth };
}

/** The general loop: each event by the plan of its type. */
function addPlannedEvents<Plan extends SpanEventPlan>(
  block: OpenBlock,
  plans: readonly (Plan | undefined)[],
  columns: SpanColumns,
  identity?: { addEvent(plan: Plan, start: number): void },
): void {
  const { bytes, view, layout } = block.objects;
  let position = 0;
  for (let record = 0; position < bytes.length; record += 1) {
    const type = view.getUint8(position);
    let size = layout.sizes[type] ?? 0;
    position += 1;
    if (size === 0) {
      size = view.getUint32(position, true);
      position += 4;
    }
    const plan = plans[type];
    if (plan !== undefined) {
      columns.addEvent(plan, record, position);
      identity?.addEvent(plan, position);
    }
    position += size;
  }
}

class SpanColumns {
  readonly #block: OpenBlock;
  readonly #scopes: SpanScopes;
  readonly #eventIds: EventIdColumn;
  readonly #ticks: BigInt64Array;
  readonly #kind: Uint8Array;
  readonly #scope: Uint32Array;
  #row = 0;

  constructor(block: OpenBlock, input: BlockDecodeInput, count: number) {
    this.#block = block;
    this.#scopes = new SpanScopes(block.dependencies, input.limits.decompressedBytesMax);
    this.#eventIds = new EventIdColumn(count, input.objectOffset);
    this.#ticks = new BigInt64Array(count);
    this.#kind = new Uint8Array(count);
    this.#scope = new Uint32Array(count);
  }

  addEvent(plan: SpanEventPlan, record: number, start: number): void {
    const { objects, dependencies } = this.#block;
    const row = this.#row;
    this.#row += 1;
    this.#eventIds.set(row, record);
    this.#ticks[row] = objects.view.getBigInt64(start + plan.timeOffset, true);
    this.#kind[row] = plan.kind;
    const scopeAt = start + plan.scopeOffset;
    this.#scope[row] =
      plan.nameOffset < 0
        ? this.#scopes.scopeOfDescription(dependencies.resolve(objects, scopeAt))
        : this.#namedScope(scopeAt, start + plan.nameOffset);
    const others = plan.otherReferenceOffsets;
    for (let index = 0; index < others.length; index += 1)
      dependencies.resolve(objects, start + (others[index] ?? 0));
  }

  /** The specialised loop: every event that is decoded has its members where the tables say. */
  addKnownEvents({ kinds, timeOffsets, scopeOffsets, nameOffsets }: SpanEventTables): void {
    const { bytes, view, layout } = this.#block.objects;
    const { sizes } = layout;
    const recent = new RecentIds();
    const eventIds = this.#eventIds;
    const ticks = this.#ticks;
    const kindColumn = this.#kind;
    const scopeColumn = this.#scope;
    const end = bytes.length;
    let row = 0;
    let position = 0;
    for (let record = 0; position < end; record += 1) {
      const type = view.getUint8(position);
      let size = sizes[type] ?? 0;
      let start = position + 1;
      if (size === 0) {
        size = view.getUint32(start, true);
        start += 4;
      }
      position = start + size;
      const kind = kinds[type] ?? NOT_DECODED;
      if (kind === NOT_DECODED) continue;
      eventIds.set(row, record);
      ticks[row] = view.getBigInt64(start + (timeOffsets[type] ?? 0), true);
      kindColumn[row] = kind;
      const scopeAt = start + (scopeOffsets[type] ?? 0);
      const nameOffset = nameOffsets[type] ?? -1;
      if (nameOffset < 0) {
        const low = view.getInt32(scopeAt, true);
        const high = view.getInt32(scopeAt + 4, true);
        const known = recent.find(low, high);
        scopeColumn[row] = known < 0 ? this.#scopeAnew(recent, scopeAt) : known;
      } else {
        scopeColumn[row] = this.#namedScope(scopeAt, start + nameOffset);
      }
      row += 1;
    }
    this.#row = row;
  }

  #scopeAnew(recent: RecentIds, offset: number): number {
    const { objects, dependencies } = this.#block;
    const scope = this.#scopes.scopeOfDescription(dependencies.resolve(objects, offset));
    const { view } = objects;
    recent.put(view.getInt32(offset, true), view.getInt32(offset + 4, true), scope);
    return scope;
  }

  #namedScope(locationOffset: number, nameOffset: number): number {
    const { objects, dependencies } = this.#block;
    const location = dependencies.resolve(objects, locationOffset);
    return this.#scopes.scopeOfNamedSpan(location, dependencies.resolve(objects, nameOffset));
  }

  finish(): ThreadSpanBlockColumns {
    return {
      count: this.#row,
      eventIds: this.#eventIds.values,
      ticks: this.#ticks,
      kind: this.#kind,
      scope: this.#scope,
      scopes: this.#scopes.scopes,
      skippedEvents: countUnknown(this.#block),
    };
  }
}

class AsyncIdentityColumns {
  readonly spanIds: BigInt64Array;
  readonly parentSpanIds: BigInt64Array;
  readonly depth: Uint32Array;
  readonly #block: OpenBlock;
  readonly #view: DataView;
  #row = 0;

  constructor(block: OpenBlock, count: number) {
    this.#block = block;
    this.#view = block.objects.view;
    this.spanIds = new BigInt64Array(count);
    this.parentSpanIds = new BigInt64Array(count);
    this.depth = new Uint32Array(count);
  }

  addEvent(plan: AsyncSpanEventPlan, start: number): void {
    const row = this.#row;
    this.#row += 1;
    this.spanIds[row] = this.#view.getBigInt64(start + plan.spanIdOffset, true);
    this.parentSpanIds[row] = this.#view.getBigInt64(start + plan.parentSpanIdOffset, true);
    this.depth[row] = plan.isDepthByte
      ? this.#view.getUint8(start + plan.depthOffset)
      : this.#view.getUint32(start + plan.depthOffset, true);
  }

  /** A loop of its own over the same events: one for all columns of both would be no faster. */
  addKnownEvents(tables: AsyncSpanEventTables): void {
    const { kinds, spanIdOffsets, parentSpanIdOffsets, depthOffsets, hasByteDepth } = tables;
    const { bytes, view, layout } = this.#block.objects;
    const { sizes } = layout;
    const { spanIds, parentSpanIds, depth } = this;
    const end = bytes.length;
    let row = 0;
    let position = 0;
    while (position < end) {
      const type = view.getUint8(position);
      let size = sizes[type] ?? 0;
      let start = position + 1;
      if (size === 0) {
        size = view.getUint32(start, true);
        start += 4;
      }
      position = start + size;
      if (kinds[type] === NOT_DECODED) continue;
      spanIds[row] = view.getBigInt64(start + (spanIdOffsets[type] ?? 0), true);
      parentSpanIds[row] = view.getBigInt64(start + (parentSpanIdOffsets[type] ?? 0), true);
      const depthAt = start + (depthOffsets[type] ?? 0);
      depth[row] =
        hasByteDepth[type] === 1 ? view.getUint8(depthAt) : view.getUint32(depthAt, true);
      row += 1;
    }
    this.#row = row;
  }
}

function countUnknown(block: OpenBlock): number {
  let count = 0;
  for (const [index, type] of block.objects.layout.types.slice(0, 256).entries())
    if (!isSpanEventType(type.name)) count += block.counts.byType[index] ?? 0;
  return count;
}
