/**
 * Plans of span events as tables by type index, for the specialised loop: what an event's members cost is one load
 * from a small array each. (Code generated for each metadata was measured and is no faster: the loop's time goes
 * into loads and stores, and tables are compiled by the engine once for all streams.)
 */
import type { AsyncSpanEventPlan, SpanEventPlan } from './span-event-plan.ts';

/** The kind of event types that a decoder passes over. */
export const NOT_DECODED = -1;

/** By type index; offsets are bytes from the start of the instance. */
export interface SpanEventTables {
  /** `NOT_DECODED` or the kind. */
  readonly kinds: Int8Array;
  readonly timeOffsets: Int32Array;
  readonly scopeOffsets: Int32Array;
  /** -1: the description has the name. */
  readonly nameOffsets: Int32Array;
}

export interface AsyncSpanEventTables extends SpanEventTables {
  readonly spanIdOffsets: Int32Array;
  readonly parentSpanIdOffsets: Int32Array;
  readonly depthOffsets: Int32Array;
  readonly hasByteDepth: Uint8Array;
}

const TYPE_INDEXES = 256;

/** Makes the tables, or returns undefined where an event has references besides those of its plan. */
export function spanEventTablesOf(
  plans: readonly (SpanEventPlan | undefined)[],
): SpanEventTables | undefined {
  const tables = {
    kinds: new Int8Array(TYPE_INDEXES).fill(NOT_DECODED),
    timeOffsets: new Int32Array(TYPE_INDEXES),
    scopeOffsets: new Int32Array(TYPE_INDEXES),
    nameOffsets: new Int32Array(TYPE_INDEXES),
  };
  for (const [type, plan] of plans.entries()) {
    if (plan === undefined) continue;
    if (plan.otherReferenceOffsets.length > 0) return undefined;
    tables.kinds[type] = plan.kind;
    tables.timeOffsets[type] = plan.timeOffset;
    tables.scopeOffsets[type] = plan.scopeOffset;
    tables.nameOffsets[type] = plan.nameOffset;
  }
  return tables;
}

export function asyncSpanEventTablesOf(
  plans: readonly (AsyncSpanEventPlan | undefined)[],
): AsyncSpanEventTables | undefined {
  const shared = spanEventTablesOf(plans);
  if (shared === undefined) return undefined;
  const tables = {
    ...shared,
    spanIdOffsets: new Int32Array(TYPE_INDEXES),
    parentSpanIdOffsets: new Int32Array(TYPE_INDEXES),
    depthOffsets: new Int32Array(TYPE_INDEXES),
    hasByteDepth: new Uint8Array(TYPE_INDEXES),
  };
  for (const [type, plan] of plans.entries()) {
    if (plan === undefined) continue;
    tables.spanIdOffsets[type] = plan.spanIdOffset;
    tables.parentSpanIdOffsets[type] = plan.parentSpanIdOffset;
    tables.depthOffsets[type] = plan.depthOffset;
    tables.hasByteDepth[type] = plan.isDepthByte ? 1 : 0;
  }
  return tables;
}
