import { TextDictionary } from '@tracelake/domain';
import {
  type BlockDecodeInput,
  countPlanned,
  EventIdColumn,
  MemberFinder,
  type OpenBlock,
  openBlockBriefly,
  planOccurringTypes,
} from './block-decoding.ts';
import { DependencyTextCodes } from './dependency-text-codes.ts';
import { NO_PROPERTIES_JSON, PropertySets } from './property-sets.ts';
import { failRecord, type TransitBuffer } from './record-framing.ts';
import type { TypeLayout } from './record-layout.ts';

/** Metric events of a block, one row each, in the order they were recorded. Texts are codes into `strings`. */
export interface MetricBlockColumns {
  readonly count: number;
  readonly eventIds: BigInt64Array;
  /** Absolute ticks of the producer's clock. */
  readonly ticks: BigInt64Array;
  readonly target: Uint32Array;
  readonly name: Uint32Array;
  readonly unit: Uint32Array;
  /** Canonical JSON objects of texts: keys sorted, `{}` when there are none. */
  readonly properties: Uint32Array;
  readonly value: Float64Array;
  /** Each text is there once. */
  readonly strings: string[];
  /** Records of types this version does not know; they take event ids all the same. */
  readonly skippedEvents: number;
}

export interface MetricBlockDecodeInput extends BlockDecodeInput {
  /** Ticks per second, for integer metrics in the unit `ticks`, which become seconds. */
  readonly frequencyHz: number;
}

/** Offsets are bytes from the start of the instance; -1: the event has no properties. */
interface MetricEventPlan {
  readonly descriptionOffset: number;
  readonly timeOffset: number;
  readonly valueOffset: number;
  readonly isInteger: boolean;
  readonly propertiesOffset: number;
  readonly otherReferenceOffsets: readonly number[];
}

const INTEGER_TYPES: ReadonlyMap<string, boolean> = new Map([
  ['IntegerMetricEvent', true],
  ['FloatMetricEvent', false],
  ['TaggedIntegerMetricEvent', true],
  ['TaggedFloatMetricEvent', false],
]);

/**
 * Decodes a block of a `metrics` stream into columns.
 *
 * Errors: `TransitDecodeError`: the codes of `decodeLogBlock`; `transit.bad-record` too when a metric in ticks
 * meets a frequency that is not positive.
 * Source: rust/analytics/src/measure.rs of the reference.
 */
export function decodeMetricBlock(input: MetricBlockDecodeInput): MetricBlockColumns {
  const block = openBlockBriefly(input);
  const plans = planOccurringTypes(block, (type) => planMetricEvent(block.objects, type));
  const decoder = new MetricDecoder(block, input, countPlanned(block, plans));
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
    if (plan !== undefined) decoder.decodeEvent(plan, record, position);
    position += size;
  }
  return decoder.finish();
}

function planMetricEvent(buffer: TransitBuffer, type: TypeLayout): MetricEventPlan | undefined {
  const isInteger = INTEGER_TYPES.get(type.name);
  if (isInteger === undefined) return undefined;
  const finder = new MemberFinder(buffer, type);
  const plan = {
    descriptionOffset: finder.referenceOffset('desc'),
    timeOffset: finder.int64Offset('time'),
    valueOffset: isInteger ? finder.int64Offset('value') : finder.float64Offset('value'),
    isInteger,
    propertiesOffset: type.name.startsWith('Tagged') ? finder.referenceOffset('properties') : -1,
  };
  return { ...plan, otherReferenceOffsets: finder.otherReferenceOffsets() };
}

class MetricDecoder {
  readonly #block: OpenBlock;
  readonly #frequencyHz: number;
  readonly #texts = new TextDictionary();
  readonly #textCodes: DependencyTextCodes;
  readonly #propertySets: PropertySets;
  /** By dependency, once it was met as a description: its target plus one, its name and its unit. */
  readonly #targetsPlusOne: Uint32Array;
  readonly #names: Uint32Array;
  readonly #units: Uint32Array;
  readonly #ticksUnit = this.#texts.codeOf('ticks');
  readonly #secondsUnit = this.#texts.codeOf('seconds');
  readonly #eventIds: EventIdColumn;
  readonly #ticks: BigInt64Array;
  readonly #target: Uint32Array;
  readonly #name: Uint32Array;
  readonly #unit: Uint32Array;
  readonly #properties: Uint32Array;
  readonly #value: Float64Array;
  #row = 0;

  constructor(block: OpenBlock, input: MetricBlockDecodeInput, count: number) {
    this.#block = block;
    this.#frequencyHz = input.frequencyHz;
    this.#textCodes = new DependencyTextCodes(block.dependencies, this.#texts);
    this.#propertySets = new PropertySets(
      block.dependencies,
      this.#texts,
      input.limits.decompressedBytesMax,
    );
    const { count: dependencyCount } = block.dependencies;
    this.#targetsPlusOne = new Uint32Array(dependencyCount);
    this.#names = new Uint32Array(dependencyCount);
    this.#units = new Uint32Array(dependencyCount);
    this.#eventIds = new EventIdColumn(count, input.objectOffset);
    this.#ticks = new BigInt64Array(count);
    this.#target = new Uint32Array(count);
    this.#name = new Uint32Array(count);
    this.#unit = new Uint32Array(count);
    this.#properties = new Uint32Array(count).fill(this.#texts.codeOf(NO_PROPERTIES_JSON));
    this.#value = new Float64Array(count);
  }

  decodeEvent(plan: MetricEventPlan, record: number, start: number): void {
    const { objects, dependencies } = this.#block;
    const row = this.#row;
    this.#row += 1;
    this.#eventIds.set(row, record);
    this.#ticks[row] = objects.view.getBigInt64(start + plan.timeOffset, true);
    const description = dependencies.resolve(objects, start + plan.descriptionOffset);
    this.#target[row] = this.#targetOf(description);
    this.#name[row] = this.#names[description] ?? 0;
    this.#unit[row] = this.#units[description] ?? 0;
    if (plan.propertiesOffset >= 0) this.#decodeProperties(row, start + plan.propertiesOffset);
    const others = plan.otherReferenceOffsets;
    for (let index = 0; index < others.length; index += 1)
      dependencies.resolve(objects, start + (others[index] ?? 0));
    const valueOffset = start + plan.valueOffset;
    if (!plan.isInteger) this.#value[row] = objects.view.getFloat64(valueOffset, true);
    else this.#decodeInteger(row, valueOffset);
  }

  finish(): MetricBlockColumns {
    return {
      count: this.#row,
      eventIds: this.#eventIds.values,
      ticks: this.#ticks,
      target: this.#target,
      name: this.#name,
      unit: this.#unit,
      properties: this.#properties,
      value: this.#value,
      strings: this.#texts.texts,
      skippedEvents: this.#block.counts.total - this.#row,
    };
  }

  /** Reads all three texts of a description when it is first met. */
  #targetOf(description: number): number {
    const known = this.#targetsPlusOne[description] ?? 0;
    if (known !== 0) return known - 1;
    const { dependencies } = this.#block;
    const codeOf = (member: string): number =>
      this.#textCodes.codeOf(dependencies.memberDependency(description, member));
    const target = codeOf('target');
    this.#names[description] = codeOf('name');
    this.#units[description] = codeOf('unit');
    this.#targetsPlusOne[description] = target + 1;
    return target;
  }

  #decodeProperties(row: number, offset: number): void {
    const { objects, dependencies } = this.#block;
    const set = this.#propertySets.setOf(dependencies.resolve(objects, offset));
    this.#properties[row] = set.jsonCode;
    if (set.target !== undefined) this.#target[row] = this.#texts.codeOf(set.target);
    if (set.name !== undefined) this.#name[row] = this.#texts.codeOf(set.name);
    if (set.unit !== undefined) this.#unit[row] = this.#texts.codeOf(set.unit);
  }

  /** Integers are unsigned, except that a time in ticks is read as signed and becomes seconds. */
  #decodeInteger(row: number, offset: number): void {
    const { view } = this.#block.objects;
    const low = view.getUint32(offset, true);
    if (this.#unit[row] !== this.#ticksUnit) {
      this.#value[row] = view.getUint32(offset + 4, true) * 0x1_0000_0000 + low;
      return;
    }
    if (!(this.#frequencyHz > 0))
      failRecord(this.#block.objects, offset, 'a metric in ticks needs a positive frequency');
    const ticks = view.getInt32(offset + 4, true) * 0x1_0000_0000 + low;
    this.#value[row] = (ticks * (1000 / this.#frequencyHz)) / 1000;
    this.#unit[row] = this.#secondsUnit;
  }
}
