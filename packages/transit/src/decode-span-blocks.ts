/**
 * Decoders of `cpu` streams. Hot loops: no object, closure or bigint arithmetic for an event; measured by
 * `bench/decode.bench.ts`.
 */
import {
  type BlockDecodeInput,
  countPlanned,
  EventIdColumn,
  type OpenBlock,
  openBlock,
  planOccurringTypes,
} from './block-decoding.ts';
import {
  type AsyncSpanEventPlan,
  isSpanEventType,
  planAsyncSpanEvent,
  planThreadSpanEvent,
  type SpanEventPlan,
} from './span-event-plan.ts';
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

/**
 * Decodes the thread spans of a block of a `cpu` stream into columns; async spans only take event ids.
 *
 * Errors: `TransitDecodeError`: the codes of `decodeLogBlock`.
 */
export function decodeThreadSpanBlock(input: BlockDecodeInput): ThreadSpanBlockColumns {
  const block = openBlock(input);
  const plans = planOccurringTypes(block, (type) => planThreadSpanEvent(block.objects, type));
  const columns = new SpanColumns(block, input, countPlanned(block, plans));
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
    if (plan !== undefined) columns.addEvent(plan, record, position);
    position += size;
  }
  return columns.finish();
}

/**
 * Decodes the async spans of a block of a `cpu` stream into columns; thread spans only take event ids.
 *
 * Errors: `TransitDecodeError`: the codes of `decodeLogBlock`.
 */
export function decodeAsyncSpanBlock(input: BlockDecodeInput): AsyncSpanBlockColumns {
  const block = openBlock(input);
  const plans = planOccurringTypes(block, (type) => planAsyncSpanEvent(block.objects, type));
  const count = countPlanned(block, plans);
  const columns = new SpanColumns(block, input, count);
  const identity = new AsyncIdentityColumns(block, count);
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
      identity.addEvent(plan, position);
    }
    position += size;
  }
  const { spanIds, parentSpanIds, depth } = identity;
  return { ...columns.finish(), spanIds, parentSpanIds, depth };
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
    const scope = dependencies.resolve(objects, start + plan.scopeOffset);
    this.#scope[row] =
      plan.nameOffset < 0
        ? this.#scopes.scopeOfDescription(scope)
        : this.#scopes.scopeOfNamedSpan(
            scope,
            dependencies.resolve(objects, start + plan.nameOffset),
          );
    const others = plan.otherReferenceOffsets;
    for (let index = 0; index < others.length; index += 1)
      dependencies.resolve(objects, start + (others[index] ?? 0));
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
  readonly #view: DataView;
  #row = 0;

  constructor(block: OpenBlock, count: number) {
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
}

function countUnknown(block: OpenBlock): number {
  let count = 0;
  for (const [index, type] of block.objects.layout.types.slice(0, 256).entries())
    if (!isSpanEventType(type.name)) count += block.counts.byType[index] ?? 0;
  return count;
}
