/**
 * How the span events of `cpu` streams are laid out. Synchronous and asynchronous ones share blocks; each
 * decoder looks at its own kind.
 * Source: rust/analytics/src/thread_block_processor.rs and async_block_processing.rs of the reference.
 */
import { MemberFinder } from './block-decoding.ts';
import type { TransitBuffer } from './record-framing.ts';
import type { TypeLayout } from './record-layout.ts';

export const SPAN_BEGIN = 0;
export const SPAN_END = 1;

interface SpanEventType {
  readonly kind: typeof SPAN_BEGIN | typeof SPAN_END;
  readonly isAsync: boolean;
  readonly isNamed: boolean;
}

const SPAN_EVENT_TYPES: ReadonlyMap<string, SpanEventType> = new Map([
  ['BeginThreadSpanEvent', { kind: SPAN_BEGIN, isAsync: false, isNamed: false }],
  ['EndThreadSpanEvent', { kind: SPAN_END, isAsync: false, isNamed: false }],
  ['BeginThreadNamedSpanEvent', { kind: SPAN_BEGIN, isAsync: false, isNamed: true }],
  ['EndThreadNamedSpanEvent', { kind: SPAN_END, isAsync: false, isNamed: true }],
  ['BeginAsyncSpanEvent', { kind: SPAN_BEGIN, isAsync: true, isNamed: false }],
  ['EndAsyncSpanEvent', { kind: SPAN_END, isAsync: true, isNamed: false }],
  ['BeginAsyncNamedSpanEvent', { kind: SPAN_BEGIN, isAsync: true, isNamed: true }],
  ['EndAsyncNamedSpanEvent', { kind: SPAN_END, isAsync: true, isNamed: true }],
]);

export function isSpanEventType(name: string): boolean {
  return SPAN_EVENT_TYPES.has(name);
}

/** Offsets are bytes from the start of the instance. */
export interface SpanEventPlan {
  readonly kind: typeof SPAN_BEGIN | typeof SPAN_END;
  readonly timeOffset: number;
  /** The description of the span, or the location of a named one. */
  readonly scopeOffset: number;
  /** -1: the description has the name. */
  readonly nameOffset: number;
  readonly otherReferenceOffsets: readonly number[];
}

export interface AsyncSpanEventPlan extends SpanEventPlan {
  readonly spanIdOffset: number;
  readonly parentSpanIdOffset: number;
  readonly depthOffset: number;
  readonly isDepthByte: boolean;
}

/** Returns the plan of a thread span event type, or undefined for any other type. */
export function planThreadSpanEvent(
  buffer: TransitBuffer,
  type: TypeLayout,
): SpanEventPlan | undefined {
  const event = SPAN_EVENT_TYPES.get(type.name);
  if (event === undefined || event.isAsync) return undefined;
  const finder = new MemberFinder(buffer, type);
  const plan = {
    kind: event.kind,
    timeOffset: finder.int64Offset('time'),
    scopeOffset: finder.referenceOffset(
      event.isNamed ? 'thread_span_location' : 'thread_span_desc',
    ),
    nameOffset: event.isNamed ? finder.referenceOffset('name') : -1,
  };
  return { ...plan, otherReferenceOffsets: finder.otherReferenceOffsets() };
}

/** Returns the plan of an async span event type, or undefined for any other type. */
export function planAsyncSpanEvent(
  buffer: TransitBuffer,
  type: TypeLayout,
): AsyncSpanEventPlan | undefined {
  const event = SPAN_EVENT_TYPES.get(type.name);
  if (event === undefined || !event.isAsync) return undefined;
  const finder = new MemberFinder(buffer, type);
  const depth = finder.u32Member('depth');
  const plan = {
    kind: event.kind,
    timeOffset: finder.int64Offset('time'),
    scopeOffset: finder.referenceOffset(event.isNamed ? 'span_location' : 'span_desc'),
    nameOffset: event.isNamed ? finder.referenceOffset('name') : -1,
    spanIdOffset: finder.int64Offset('span_id'),
    parentSpanIdOffset: finder.int64Offset('parent_span_id'),
    depthOffset: depth.offset,
    isDepthByte: depth.isByte,
  };
  return { ...plan, otherReferenceOffsets: finder.otherReferenceOffsets() };
}
