/** Arrow types for DuckDB's, and Arrow data from single values: nested columns and rare types. */

import {
  DuckDBArrayType,
  DuckDBArrayValue,
  DuckDBBlobValue,
  DuckDBDateValue,
  DuckDBDecimalType,
  DuckDBDecimalValue,
  DuckDBListType,
  DuckDBListValue,
  DuckDBMapType,
  DuckDBMapValue,
  DuckDBStructType,
  DuckDBStructValue,
  DuckDBTimestampMillisecondsValue,
  DuckDBTimestampNanosecondsValue,
  DuckDBTimestampSecondsValue,
  DuckDBTimestampTZValue,
  DuckDBTimestampValue,
  DuckDBTimeValue,
  type DuckDBType,
  DuckDBTypeId,
  type DuckDBValue,
} from '@duckdb/node-api';
import {
  Binary,
  Bool,
  type Data,
  DataType,
  DateDay,
  Decimal,
  Field,
  Float32,
  Float64,
  Int8,
  Int16,
  Int32,
  Int64,
  List,
  makeData,
  Struct,
  TimeMicrosecond,
  TimestampMicrosecond,
  TimestampMillisecond,
  TimestampNanosecond,
  TimestampSecond,
  Uint8,
  Uint16,
  Uint32,
  Uint64,
  Utf8,
} from 'apache-arrow';
import { EngineError } from './engine-error.ts';
import { plainText } from './text-values.ts';

const ZONE = 'UTC';

/** The types without parameters; a sum of BIGINTs is a HUGEINT. */
const SIMPLE_TYPES = new Map<DuckDBTypeId, () => DataType>([
  [DuckDBTypeId.BOOLEAN, () => new Bool()],
  [DuckDBTypeId.TINYINT, () => new Int8()],
  [DuckDBTypeId.SMALLINT, () => new Int16()],
  [DuckDBTypeId.INTEGER, () => new Int32()],
  [DuckDBTypeId.BIGINT, () => new Int64()],
  [DuckDBTypeId.UTINYINT, () => new Uint8()],
  [DuckDBTypeId.USMALLINT, () => new Uint16()],
  [DuckDBTypeId.UINTEGER, () => new Uint32()],
  [DuckDBTypeId.UBIGINT, () => new Uint64()],
  [DuckDBTypeId.HUGEINT, () => new Decimal(0, HUGEINT_DIGITS, 128)],
  [DuckDBTypeId.FLOAT, () => new Float32()],
  [DuckDBTypeId.DOUBLE, () => new Float64()],
  [DuckDBTypeId.DATE, () => new DateDay()],
  [DuckDBTypeId.TIME, () => new TimeMicrosecond()],
  [DuckDBTypeId.TIMESTAMP_S, () => new TimestampSecond(ZONE)],
  [DuckDBTypeId.TIMESTAMP_MS, () => new TimestampMillisecond(ZONE)],
  [DuckDBTypeId.TIMESTAMP, () => new TimestampMicrosecond(ZONE)],
  [DuckDBTypeId.TIMESTAMP_TZ, () => new TimestampMicrosecond(ZONE)],
  [DuckDBTypeId.TIMESTAMP_NS, () => new TimestampNanosecond(ZONE)],
  [DuckDBTypeId.BLOB, () => new Binary()],
]);

/** What a decimal of 128 bits surely holds. */
const HUGEINT_DIGITS = 38;

/** Types that Arrow has no equal of become text. */
export function arrowTypeOf(type: DuckDBType): DataType {
  if (type instanceof DuckDBDecimalType) return new Decimal(type.scale, type.width, 128);
  if (type instanceof DuckDBListType || type instanceof DuckDBArrayType) {
    return new List(new Field('item', arrowTypeOf(type.valueType), true));
  }
  if (type instanceof DuckDBStructType) {
    return new Struct(
      type.entryNames.map(
        (name, at) => new Field(name, arrowTypeOf(type.entryTypes[at] as DuckDBType), true),
      ),
    );
  }
  if (type instanceof DuckDBMapType) {
    const key = new Field('key', arrowTypeOf(type.keyType), true);
    const value = new Field('value', arrowTypeOf(type.valueType), true);
    return new List(new Field('entry', new Struct([key, value]), true));
  }
  return SIMPLE_TYPES.get(type.typeId)?.() ?? new Utf8();
}

export function dataFromValues(type: DataType, values: readonly DuckDBValue[]): Data {
  const nulls = nullsOf(values);
  const make = (rest: object) => makeData({ type, ...nulls, ...rest } as never) as Data;
  if (DataType.isList(type)) {
    const lists = values.map(itemsOf);
    const child = dataFromValues(type.children[0]?.type as DataType, lists.flat());
    return make({ valueOffsets: offsetsOf(lists), child });
  }
  if (DataType.isStruct(type)) {
    const children = type.children.map((field) =>
      dataFromValues(
        field.type,
        values.map((value) => memberOf(value, field.name)),
      ),
    );
    return make({ children });
  }
  if (DataType.isUtf8(type) || DataType.isBinary(type)) {
    const parts = values.map((value) => bytesOf(value));
    return make({ valueOffsets: offsetsOf(parts), data: Buffer.concat(parts) });
  }
  if (DataType.isBool(type)) return make({ data: packBits(values.map((value) => value === true)) });
  if (DataType.isDecimal(type)) return make({ data: decimalWords(values) });
  return make({ data: numbersOf(type, values) });
}

function nullsOf(values: readonly DuckDBValue[]) {
  const nullCount = values.reduce<number>((sum, value) => sum + (value === null ? 1 : 0), 0);
  const nullBitmap = nullCount === 0 ? null : packBits(values.map((value) => value !== null));
  return { length: values.length, nullCount, nullBitmap };
}

/** Whole words of 64 bits. */
function packBits(flags: readonly boolean[]): Uint8Array {
  const bits = new Uint8Array(Math.ceil(flags.length / 64) * 8);
  flags.forEach((flag, at) => {
    if (flag) bits[at >> 3] = (bits[at >> 3] ?? 0) | (1 << (at & 7));
  });
  return bits;
}

function itemsOf(value: DuckDBValue): readonly DuckDBValue[] {
  if (value instanceof DuckDBListValue || value instanceof DuckDBArrayValue) return value.items;
  if (value instanceof DuckDBMapValue) {
    return value.entries.map((entry) => new DuckDBStructValue({ ...entry }));
  }
  return [];
}

function memberOf(value: DuckDBValue, name: string): DuckDBValue {
  return value instanceof DuckDBStructValue ? (value.entries[name] ?? null) : null;
}

function bytesOf(value: DuckDBValue): Uint8Array {
  if (value === null) return new Uint8Array(0);
  if (value instanceof DuckDBBlobValue) return value.bytes;
  return Buffer.from(typeof value === 'string' ? value : plainText(value));
}

function offsetsOf(parts: readonly { readonly length: number }[]): Int32Array {
  const offsets = new Int32Array(parts.length + 1);
  parts.forEach((part, at) => {
    offsets[at + 1] = (offsets[at] ?? 0) + part.length;
  });
  return offsets;
}

/** 128-bit two's complement, as Arrow's decimals lie. */
function decimalWords(values: readonly DuckDBValue[]): Uint32Array {
  const words = new BigInt64Array(values.length * 2);
  values.forEach((value, at) => {
    const integer = value instanceof DuckDBDecimalValue ? value.value : integerOf(value);
    if (integer >= DECIMAL_LIMIT || integer <= -DECIMAL_LIMIT) {
      throw new EngineError(
        'query.failed',
        `${integer} does not fit 38 digits: cast it to VARCHAR`,
      );
    }
    words[at * 2] = BigInt.asIntN(64, integer);
    words[at * 2 + 1] = BigInt.asIntN(64, integer >> 64n);
  });
  return new Uint32Array(words.buffer);
}

const DECIMAL_LIMIT = 10n ** 38n;

function numbersOf(type: DataType, values: readonly DuckDBValue[]): ArrayBufferView {
  const { ArrayType } = type as unknown as { ArrayType: NumberArray };
  if (ArrayType === BigInt64Array || ArrayType === BigUint64Array) {
    return BigInt64Array.from(values, integerOf);
  }
  const numbers = ArrayType as Float64ArrayConstructor;
  return numbers.from(values, (value) => numberOf(value));
}

type NumberArray = BigInt64ArrayConstructor | BigUint64ArrayConstructor | Float64ArrayConstructor;

function integerOf(value: DuckDBValue): bigint {
  if (typeof value === 'bigint') return value;
  if (value instanceof DuckDBTimestampNanosecondsValue) return value.nanos;
  if (value instanceof DuckDBTimestampValue) return value.micros;
  if (value instanceof DuckDBTimestampTZValue) return value.micros;
  if (value instanceof DuckDBTimestampMillisecondsValue) return value.millis;
  if (value instanceof DuckDBTimestampSecondsValue) return value.seconds;
  if (value instanceof DuckDBTimeValue) return value.micros;
  return 0n;
}

function numberOf(value: DuckDBValue): number {
  if (value instanceof DuckDBDateValue) return value.days;
  return typeof value === 'number' ? value : 0;
}
