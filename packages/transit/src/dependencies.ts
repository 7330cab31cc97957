/**
 * The dependencies of a block: what the 64-bit ids in its events stand for. Ids are pointers of the producer
 * and mean something within their own block only. Parsing checks everything and keeps positions; texts are
 * decoded when somebody asks, so that memory follows the input's size and not the number of records times an
 * object's.
 */
import { isUtf8 } from 'node:buffer';
import { checkEncodedString, readCheckedString, readRawString } from './encoded-string.ts';
import { IdTable } from './id-table.ts';
import { RecentIds } from './recent-ids.ts';
import { countRecords, failRecord, failType, type TransitBuffer } from './record-framing.ts';
import type { MemberLayout, TypeLayout } from './record-layout.ts';
import { TransitDecodeError } from './transit-decode-error.ts';

const RAW_TEXT = 1;
const ENCODED_TEXT = 2;
const PROPERTY_SET = 3;
const RECORD = 4;

/** More than any block of a real client holds many times over; bounds the index built over them. */
const DEPENDENCIES_MAX = 1 << 23;
/** Longer keys would make a map of them slow (see `TextMap` of the domain), and nobody names a property so. */
const PROPERTY_NAME_CHARACTERS_MAX = 16_000;
const ID_BYTES = 8;
const PROPERTY_SET_HEADER_BYTES = 12;

export class Dependencies {
  readonly count: number;
  readonly #buffer: TransitBuffer;
  readonly #indexById: IdTable;
  readonly #recent = new RecentIds();
  readonly #kinds: Uint8Array;
  readonly #types: Uint8Array;
  readonly #starts: Int32Array;
  readonly #ends: Int32Array;
  readonly #texts: (string | undefined)[] = [];
  readonly #property: PropertyLayout | undefined;

  /** Errors: `transit.bad-record`, `transit.bad-metadata`, `transit.too-large`. */
  constructor(buffer: TransitBuffer) {
    const counts = countRecords(buffer);
    if (counts.total > DEPENDENCIES_MAX) failTooMany();
    this.#buffer = buffer;
    this.count = counts.total;
    this.#indexById = new IdTable(counts.total);
    this.#kinds = new Uint8Array(counts.total);
    this.#types = new Uint8Array(counts.total);
    this.#starts = new Int32Array(counts.total);
    this.#ends = new Int32Array(counts.total);
    this.#property = propertyLayoutOf(buffer);
    this.#readRecords();
  }

  /** Returns the dependency whose id lies at `offset` of another buffer. */
  resolve(from: TransitBuffer, offset: number): number {
    const low = from.view.getInt32(offset, true);
    const high = from.view.getInt32(offset + 4, true);
    const recent = this.#recent.find(low, high);
    return recent < 0 ? this.#resolveAnew(from, offset, low, high) : recent;
  }

  #resolveAnew(from: TransitBuffer, offset: number, low: number, high: number): number {
    const index = this.#indexById.find(low, high);
    if (index < 0) failRecord(from, offset, `dependency ${formatId(low, high)} is missing`);
    this.#recent.put(low, high, index);
    return index;
  }

  /** The text of a dependency; throws `transit.bad-record` when it is not text. */
  textOf(index: number): string {
    const known = this.#texts[index];
    if (known !== undefined) return known;
    const text = this.#decodeText(index);
    this.#texts[index] = text;
    return text;
  }

  /** The dependency that a record's reference member points at. */
  memberDependency(index: number, name: string): number {
    const member = this.#member(index, name);
    if (member.kind !== 'reference') this.#failMember(index, name, 'a reference');
    return this.resolve(this.#buffer, this.#start(index) + member.offset);
  }

  /** A record's member of type u32 or u8. */
  memberU32(index: number, name: string): number {
    const member = this.#member(index, name);
    const offset = this.#start(index) + member.offset;
    if (member.kind === 'u32') return this.#buffer.view.getUint32(offset, true);
    if (member.kind === 'u8') return this.#buffer.view.getUint8(offset);
    return this.#failMember(index, name, 'a u32');
  }

  /** The properties of a property set; of a name that is there twice the last value counts. */
  propertiesOf(index: number): Map<string, string> {
    const start = this.#start(index);
    if (this.#kinds[index] !== PROPERTY_SET || this.#property === undefined)
      failRecord(this.#buffer, start, 'the dependency is not a property set');
    const { size, nameOffset, valueOffset } = this.#property;
    const properties = new Map<string, string>();
    for (let at = start + PROPERTY_SET_HEADER_BYTES; at < this.#end(index); at += size) {
      const name = this.textOf(this.resolve(this.#buffer, at + nameOffset));
      if (name.length > PROPERTY_NAME_CHARACTERS_MAX)
        failRecord(this.#buffer, at, 'the name of a property is absurdly long');
      properties.set(name, this.textOf(this.resolve(this.#buffer, at + valueOffset)));
    }
    return properties;
  }

  /** What a dependency is, for whoever shows it as it is. */
  describe(index: number): DescribedDependency {
    const kind = this.#kinds[index];
    if (kind === PROPERTY_SET) return { kind: 'properties', properties: this.propertiesOf(index) };
    const type = this.#typeOf(index);
    if (kind !== RECORD || type === undefined) return { kind: 'text', text: this.textOf(index) };
    return { kind: 'record', type, buffer: this.#buffer, start: this.#start(index) };
  }

  #start(index: number): number {
    return this.#starts[index] ?? 0;
  }

  #end(index: number): number {
    return this.#ends[index] ?? 0;
  }

  #decodeText(index: number): string {
    const start = this.#start(index) + ID_BYTES;
    const kind = this.#kinds[index];
    if (kind === RAW_TEXT) return readRawString(this.#buffer, start, this.#end(index));
    if (kind === ENCODED_TEXT) return readCheckedString(this.#buffer, start);
    return failRecord(this.#buffer, start - ID_BYTES, 'the dependency is not text');
  }

  #member(index: number, name: string): MemberLayout {
    const type = this.#typeOf(index);
    if (this.#kinds[index] !== RECORD || type === undefined)
      return failRecord(this.#buffer, this.#start(index), `the dependency has no member "${name}"`);
    return type.members.get(name) ?? failType(this.#buffer, type, `has no member "${name}"`);
  }

  #typeOf(index: number): TypeLayout | undefined {
    return this.#buffer.layout.types[this.#types[index] ?? 0];
  }

  #failMember(index: number, name: string, what: string): never {
    const type = this.#typeOf(index)?.name ?? '';
    return failRecord(
      this.#buffer,
      this.#start(index),
      `member "${name}" of "${type}" is not ${what}`,
    );
  }

  #readRecords(): void {
    const { bytes, view, layout } = this.#buffer;
    let position = 0;
    for (let index = 0; index < this.count; index += 1) {
      const recordStart = position;
      const typeIndex = view.getUint8(position);
      const type = layout.types[typeIndex];
      position += 1;
      let size = layout.sizes[typeIndex] ?? 0;
      if (size === 0) {
        size = view.getUint32(position, true);
        position += 4;
      }
      if (type === undefined || position + size > bytes.length)
        failRecord(this.#buffer, recordStart, 'the record is outside the buffer');
      this.#types[index] = typeIndex;
      this.#starts[index] = position;
      this.#ends[index] = position + size;
      const idOffset = this.#readInstance(type, index);
      this.#addId(index, position + idOffset);
      position += size;
    }
  }

  /** Checks one instance and returns where in it its id lies. */
  #readInstance(type: TypeLayout, index: number): number {
    const start = this.#start(index);
    const end = this.#end(index);
    switch (type.name) {
      case 'StaticString':
        if (end - start < ID_BYTES) failRecord(this.#buffer, start, 'a string has no id');
        if (!isUtf8(this.#buffer.bytes.subarray(start + ID_BYTES, end)))
          failRecord(this.#buffer, start, 'text is not valid utf-8');
        this.#kinds[index] = RAW_TEXT;
        return 0;
      case 'StaticStringDependency':
        checkEncodedString(this.#buffer, start + ID_BYTES, end);
        this.#kinds[index] = ENCODED_TEXT;
        return 0;
      case 'PropertySetDependency':
        this.#readPropertySet(index, start, end);
        this.#kinds[index] = PROPERTY_SET;
        return 0;
      default:
        this.#kinds[index] = RECORD;
        return this.#readPlainRecord(type, start);
    }
  }

  #readPlainRecord(type: TypeLayout, start: number): number {
    if (type.problem !== undefined) failType(this.#buffer, type, type.problem);
    if (type.isReference) failType(this.#buffer, type, 'is a reference and has no id of its own');
    const id = type.members.get('id');
    if (id === undefined || (id.kind !== 'u64' && id.kind !== 'i64'))
      failType(this.#buffer, type, 'has no 64-bit id');
    for (const offset of type.referenceOffsets) this.resolve(this.#buffer, start + offset);
    return id.offset;
  }

  #readPropertySet(index: number, start: number, end: number): void {
    const buffer = this.#buffer;
    if (end - start < PROPERTY_SET_HEADER_BYTES)
      failRecord(buffer, start, 'a property set is cut short');
    const property = this.#property;
    if (property === undefined) failRecord(buffer, start, 'type "Property" is not declared');
    if (property.problem !== undefined) failRecord(buffer, start, property.problem);
    const count = buffer.view.getUint32(start + ID_BYTES, true);
    const first = start + PROPERTY_SET_HEADER_BYTES;
    if (count > (end - first) / property.size)
      failRecord(buffer, start, `a set of ${count} properties is cut short`);
    this.#ends[index] = first + count * property.size;
    for (let at = first; at < first + count * property.size; at += property.size) {
      for (const offset of property.referenceOffsets) this.resolve(buffer, at + offset);
      this.#checkIsText(this.resolve(buffer, at + property.nameOffset), at);
      this.#checkIsText(this.resolve(buffer, at + property.valueOffset), at);
    }
  }

  #checkIsText(index: number, byteOffset: number): void {
    const kind = this.#kinds[index];
    if (kind !== RAW_TEXT && kind !== ENCODED_TEXT)
      failRecord(this.#buffer, byteOffset, 'a property is not text');
  }

  #addId(index: number, offset: number): void {
    const { view } = this.#buffer;
    const low = view.getInt32(offset, true);
    const high = view.getInt32(offset + 4, true);
    if (!this.#indexById.insert(low, high, index))
      failRecord(this.#buffer, offset, `dependency ${formatId(low, high)} is there twice`);
  }
}

export type DescribedDependency =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'properties'; readonly properties: ReadonlyMap<string, string> }
  | {
      readonly kind: 'record';
      readonly type: TypeLayout;
      readonly buffer: TransitBuffer;
      readonly start: number;
    };

interface PropertyLayout {
  readonly size: number;
  readonly nameOffset: number;
  readonly valueOffset: number;
  readonly referenceOffsets: readonly number[];
  readonly problem: string | undefined;
}

function propertyLayoutOf(buffer: TransitBuffer): PropertyLayout | undefined {
  const type = buffer.layout.byName.get('Property');
  if (type === undefined) return undefined;
  const name = type.members.get('name');
  const value = type.members.get('value');
  const isUsable = name?.kind === 'reference' && value?.kind === 'reference' && !type.isReference;
  return {
    size: type.size,
    nameOffset: name?.offset ?? 0,
    valueOffset: value?.offset ?? 0,
    referenceOffsets: type.referenceOffsets,
    problem: isUsable ? undefined : `type "Property" ${type.problem ?? 'lacks a name or a value'}`,
  };
}

function formatId(low: number, high: number): string {
  return `0x${((BigInt(high >>> 0) << 32n) | BigInt(low >>> 0)).toString(16)}`;
}

function failTooMany(): never {
  throw new TransitDecodeError(
    'transit.too-large',
    `cannot decode dependencies: there are more than ${DEPENDENCIES_MAX}`,
    { field: 'dependencies', limit: DEPENDENCIES_MAX },
  );
}
