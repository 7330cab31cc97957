/** Thrift's compact protocol, as far as `ThriftStruct` of the encoder writes it: structs as maps by field number. */

import { keepCompiled } from '@tracelake/domain';
import {
  TYPE_BINARY,
  TYPE_FALSE,
  TYPE_I8,
  TYPE_I32,
  TYPE_I64,
  TYPE_LIST,
  TYPE_STRUCT,
  TYPE_TRUE,
} from '../thrift-types.ts';
import { ByteSource, DamagedBytes } from './byte-source.ts';

/** Parquet's deepest is six. */
const DEPTH_MAX = 16;

type ThriftValue = number | boolean | Uint8Array | readonly ThriftValue[] | ThriftFields;

/** A struct that was read; a field of another type than asked for is as good as missing. */
export class ThriftFields {
  readonly #values = new Map<number, ThriftValue>();

  /** Reads one struct. Errors: `DamagedBytes`, also for types that the encoder does not write. */
  static read(source: ByteSource, depth = 0): ThriftFields {
    if (depth > DEPTH_MAX) throw new DamagedBytes('is nested too deep');
    const fields = new ThriftFields();
    let field = 0;
    for (;;) {
      const header = source.u8();
      if (header === 0) return fields;
      field = header >> 4 === 0 ? source.zigzag() : field + (header >> 4);
      fields.#values.set(field, readValue(source, header & 0x0f, depth));
    }
  }

  number(field: number): number | undefined {
    const value = this.#values.get(field);
    return typeof value === 'number' ? value : undefined;
  }

  boolean(field: number): boolean | undefined {
    const value = this.#values.get(field);
    return typeof value === 'boolean' ? value : undefined;
  }

  binary(field: number): Uint8Array | undefined {
    const value = this.#values.get(field);
    return value instanceof Uint8Array ? value : undefined;
  }

  text(field: number): string | undefined {
    const bytes = this.binary(field);
    return bytes === undefined ? undefined : Buffer.from(bytes).toString();
  }

  struct(field: number): ThriftFields | undefined {
    const value = this.#values.get(field);
    return value instanceof ThriftFields ? value : undefined;
  }

  structs(field: number): readonly ThriftFields[] {
    return this.#list(field).filter((item) => item instanceof ThriftFields);
  }

  numbers(field: number): readonly number[] {
    return this.#list(field).filter((item) => typeof item === 'number');
  }

  #list(field: number): readonly ThriftValue[] {
    const value = this.#values.get(field);
    return Array.isArray(value) ? value : [];
  }
}

keepCompiled(ThriftFields.read(new ByteSource(Uint8Array.of(0))));

function readValue(source: ByteSource, type: number, depth: number): ThriftValue {
  switch (type) {
    case TYPE_TRUE:
      return true;
    case TYPE_FALSE:
      return false;
    case TYPE_I8:
      return source.u8();
    case TYPE_I32:
    case TYPE_I64:
      return source.zigzag();
    case TYPE_BINARY:
      return source.take(source.uleb());
    case TYPE_LIST:
      return readList(source, depth + 1);
    case TYPE_STRUCT:
      return ThriftFields.read(source, depth + 1);
    default:
      throw new DamagedBytes(`has a value of type ${type}`);
  }
}

function readList(source: ByteSource, depth: number): ThriftValue[] {
  if (depth > DEPTH_MAX) throw new DamagedBytes('is nested too deep');
  const header = source.u8();
  const size = header >> 4 === 15 ? source.uleb() : header >> 4;
  // An item of the types that are read here takes a byte at least.
  if (size > source.left) throw new DamagedBytes('has a list longer than itself');
  const type = header & 0x0f;
  if (type === TYPE_TRUE || type === TYPE_FALSE) throw new DamagedBytes('has a list of truths');
  return Array.from({ length: size }, () => readValue(source, type, depth));
}
