/**
 * How each log event type is laid out. Most are length-prefixed and packed, with a layout fixed by their name;
 * the rest are plain records read through the stream's metadata.
 * Source: rust/tracing/src/parsing.rs and rust/analytics/src/log_entry.rs of the reference.
 */
import { MemberFinder } from './block-decoding.ts';
import { failType, type TransitBuffer } from './record-framing.ts';
import type { TypeLayout } from './record-layout.ts';

const NONE = -1;

/** `raw` runs to the end of the instance, `encoded` has a header, `reference` is an id, `description` none. */
export type MessageForm = 'raw' | 'encoded' | 'reference' | 'description';

/** Offsets are bytes from the start of the instance; -1 means that the description has the field. */
export interface LogEventPlan {
  readonly timeOffset: number;
  readonly descriptionOffset: number;
  readonly levelOffset: number;
  readonly isLevelByte: boolean;
  readonly targetOffset: number;
  readonly messageForm: MessageForm;
  readonly messageOffset: number;
  /** -1: the event has no properties. */
  readonly propertiesOffset: number;
  /** Whether properties named `target` and `level` replace those of the event. */
  readonly isOverridden: boolean;
  readonly otherReferenceOffsets: readonly number[];
  /** A shorter instance is cut short. */
  readonly sizeMin: number;
}

const KNOWN_TYPES: ReadonlySet<string> = new Set([
  'LogStaticStrEvent',
  'LogStringEvent',
  'LogStringEventV2',
  'LogStaticStrInteropEvent',
  'LogStringInteropEventV2',
  'LogStringInteropEventV3',
  'TaggedLogInteropEvent',
  'TaggedLogString',
]);

/** Returns the plan of a log event type, or undefined for a type that is not one. */
export function planLogEvent(buffer: TransitBuffer, type: TypeLayout): LogEventPlan | undefined {
  if (!KNOWN_TYPES.has(type.name)) return undefined;
  return type.size === 0 ? planPacked(buffer, type) : planRecord(buffer, type);
}

const DESCRIBED = {
  descriptionOffset: 0,
  levelOffset: NONE,
  isLevelByte: false,
  targetOffset: NONE,
  propertiesOffset: NONE,
  isOverridden: false,
  otherReferenceOffsets: [],
};

function planPacked(buffer: TransitBuffer, type: TypeLayout): LogEventPlan {
  switch (type.name) {
    case 'LogStringEvent':
      return { ...DESCRIBED, timeOffset: 8, messageForm: 'raw', messageOffset: 16, sizeMin: 16 };
    case 'LogStringEventV2':
      return {
        ...DESCRIBED,
        timeOffset: 8,
        messageForm: 'encoded',
        messageOffset: 16,
        sizeMin: 16,
      };
    case 'TaggedLogString':
      return {
        ...DESCRIBED,
        propertiesOffset: 8,
        timeOffset: 16,
        messageForm: 'encoded',
        messageOffset: 24,
        sizeMin: 24,
        isOverridden: true,
      };
    case 'LogStringInteropEventV2':
      return planInterop(packedReference(buffer, type, 'StringId'), 4, false, 'raw');
    case 'LogStringInteropEventV3':
      return planInterop(packedReference(buffer, type, 'StaticStringRef'), 1, false, 'encoded');
    case 'TaggedLogInteropEvent':
      return planInterop(packedReference(buffer, type, 'StaticStringRef'), 1, true, 'encoded');
    default:
      return failType(buffer, type, 'is length-prefixed and has no reader');
  }
}

interface PackedReference {
  readonly size: number;
  readonly idOffset: number;
}

/** `time: i64, level, target, [properties id: u64], message` */
function planInterop(
  target: PackedReference,
  levelBytes: number,
  hasProperties: boolean,
  messageForm: MessageForm,
): LogEventPlan {
  const targetStart = 8 + levelBytes;
  const afterTarget = targetStart + target.size;
  const messageOffset = afterTarget + (hasProperties ? 8 : 0);
  return {
    timeOffset: 0,
    descriptionOffset: NONE,
    levelOffset: 8,
    isLevelByte: levelBytes === 1,
    targetOffset: targetStart + target.idOffset,
    messageForm,
    messageOffset,
    propertiesOffset: hasProperties ? afterTarget : NONE,
    isOverridden: false,
    otherReferenceOffsets: [],
    sizeMin: messageOffset,
  };
}

/** Packed events embed a reference type whose layout comes from the objects metadata. */
function packedReference(buffer: TransitBuffer, type: TypeLayout, name: string): PackedReference {
  const reference = buffer.layout.byName.get(name);
  if (reference === undefined)
    return failType(buffer, type, `needs "${name}", which is not declared`);
  const id = reference.members.get('id');
  if (reference.problem !== undefined || !reference.isReference || id?.kind !== 'reference')
    return failType(buffer, reference, reference.problem ?? 'is not a reference');
  return { size: reference.size, idOffset: id.offset };
}

function planRecord(buffer: TransitBuffer, type: TypeLayout): LogEventPlan {
  const finder = new MemberFinder(buffer, type);
  const isInterop = type.name.includes('Interop');
  const isTagged = type.name.startsWith('Tagged');
  const isStatic = type.name === 'LogStaticStrEvent';
  const level = isInterop ? finder.u32Member('level') : { offset: NONE, isByte: false };
  const plan = {
    timeOffset: finder.int64Offset('time'),
    descriptionOffset: isInterop ? NONE : finder.referenceOffset('desc'),
    levelOffset: level.offset,
    isLevelByte: level.isByte,
    targetOffset: isInterop ? finder.referenceOffset('target') : NONE,
    messageForm: isStatic ? ('description' as const) : ('reference' as const),
    messageOffset: isStatic ? NONE : finder.referenceOffset('msg'),
    propertiesOffset: isTagged ? finder.referenceOffset('properties') : NONE,
    isOverridden: type.name === 'TaggedLogString',
    sizeMin: type.size,
  };
  return { ...plan, otherReferenceOffsets: finder.otherReferenceOffsets() };
}
