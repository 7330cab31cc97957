/** Thrift's compact protocol, as far as Parquet's footer and page headers need it. */

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
import { ByteSink } from './byte-sink.ts';

/** Writes one struct; fields must come in ascending order of their ids. */
export class ThriftStruct {
  readonly #sink: ByteSink;
  #lastField = 0;

  private constructor(sink: ByteSink) {
    this.#sink = sink;
  }

  static encode(fill: (struct: ThriftStruct) => void): Uint8Array {
    const sink = new ByteSink(256);
    ThriftStruct.#write(sink, fill);
    return sink.written().slice();
  }

  static #write(sink: ByteSink, fill: (struct: ThriftStruct) => void): void {
    fill(new ThriftStruct(sink));
    sink.u8(0);
  }

  bool(field: number, value: boolean): void {
    this.#header(field, value ? TYPE_TRUE : TYPE_FALSE);
  }

  i8(field: number, value: number): void {
    this.#header(field, TYPE_I8);
    this.#sink.u8(value);
  }

  i32(field: number, value: number): void {
    this.#header(field, TYPE_I32);
    this.#sink.zigzag(value);
  }

  i64(field: number, value: number): void {
    this.#header(field, TYPE_I64);
    this.#sink.zigzag(value);
  }

  binary(field: number, value: Uint8Array | string): void {
    this.#header(field, TYPE_BINARY);
    this.#bytes(value);
  }

  struct(field: number, fill: (struct: ThriftStruct) => void): void {
    this.#header(field, TYPE_STRUCT);
    ThriftStruct.#write(this.#sink, fill);
  }

  i32List(field: number, values: readonly number[]): void {
    this.#list(field, TYPE_I32, values.length);
    for (const value of values) this.#sink.zigzag(value);
  }

  textList(field: number, values: readonly string[]): void {
    this.#list(field, TYPE_BINARY, values.length);
    for (const value of values) this.#bytes(value);
  }

  structList<Item>(
    field: number,
    items: readonly Item[],
    fill: (struct: ThriftStruct, item: Item) => void,
  ): void {
    this.#list(field, TYPE_STRUCT, items.length);
    for (const item of items) ThriftStruct.#write(this.#sink, (struct) => fill(struct, item));
  }

  #header(field: number, type: number): void {
    const distance = field - this.#lastField;
    this.#lastField = field;
    if (distance <= 15) {
      this.#sink.u8((distance << 4) | type);
    } else {
      this.#sink.u8(type);
      this.#sink.zigzag(field);
    }
  }

  #list(field: number, type: number, size: number): void {
    this.#header(field, TYPE_LIST);
    if (size < 15) {
      this.#sink.u8((size << 4) | type);
    } else {
      this.#sink.u8(0xf0 | type);
      this.#sink.uleb(size);
    }
  }

  #bytes(value: Uint8Array | string): void {
    const bytes = typeof value === 'string' ? Buffer.from(value) : value;
    this.#sink.uleb(bytes.length);
    this.#sink.append(bytes);
  }
}
