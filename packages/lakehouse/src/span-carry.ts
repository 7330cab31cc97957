/**
 * What one run of `thread_spans` hands to the next: the chain so far and its open spans, with their scopes as
 * text, because pointers die with their block. As bytes, little-endian:
 *
 *     u8 version, u8 has-spans, i64 chain begin ticks, i64 chain end ticks, u32 spans beyond the depth limit,
 *     text thread name, u32 n, n scopes { u32 line, u32 hash, text name, text target, text filename },
 *     u32 n, n open spans { u32 depth, u32 scope, i64 id, i64 parent, i64 begin ns }, outermost first
 *
 * with text = u32 length, UTF-8. Equal states are equal bytes: scopes stand in order of first use.
 */

import type { SpanScope } from '@tracelake/transit';
import { LakehouseError } from './lakehouse-error.ts';

/** Keeps a byte order mark at the start of a text: it is part of the name. */
const exactUtf8 = new TextDecoder('utf-8', { ignoreBOM: true });

export interface OpenSpan {
  readonly depth: number;
  /** Position in the carry's scopes. */
  readonly scope: number;
  readonly id: bigint;
  readonly parent: bigint;
  readonly beginNs: bigint;
}

export interface SpanCarry {
  readonly threadName: string;
  /** Relative to the process's start, as blocks count them. */
  readonly chainBeginTicks: bigint;
  readonly chainEndTicks: bigint;
  /** Whether the chain has had a thread span event. */
  readonly hasSpans: boolean;
  /** Open spans beyond the depth limit, which have no row. */
  readonly tooDeepCount: number;
  readonly scopes: readonly SpanScope[];
  readonly open: readonly OpenSpan[];
}

/** Spans nested deeper have no row. */
export const SPAN_DEPTH_MAX = 65_536;

const VERSION = 1;
const OPEN_SPAN_BYTES = 32;

export function encodeSpanCarry(carry: SpanCarry): Uint8Array {
  const texts = [
    carry.threadName,
    ...carry.scopes.flatMap(({ name, target, filename }) => [name, target, filename]),
  ].map((text) => Buffer.from(text));
  const textBytes = texts.reduce((total, text) => total + 4 + text.length, 0);
  const size = 30 + textBytes + carry.scopes.length * 8 + carry.open.length * OPEN_SPAN_BYTES;
  const writer = new CarryWriter(size);
  writer.u8(VERSION);
  writer.u8(carry.hasSpans ? 1 : 0);
  writer.i64(carry.chainBeginTicks);
  writer.i64(carry.chainEndTicks);
  writer.u32(carry.tooDeepCount);
  writer.text(texts[0]);
  writer.u32(carry.scopes.length);
  carry.scopes.forEach(({ line, hash }, index) => {
    writer.u32(line);
    writer.u32(hash);
    for (let part = 1; part <= 3; part++) writer.text(texts[index * 3 + part]);
  });
  writer.u32(carry.open.length);
  for (const span of carry.open) {
    writer.u32(span.depth);
    writer.u32(span.scope);
    writer.i64(span.id);
    writer.i64(span.parent);
    writer.i64(span.beginNs);
  }
  return writer.bytes;
}

/** Errors: `lakehouse.bad-carry` when the bytes are not a carry. */
export function decodeSpanCarry(bytes: Uint8Array): SpanCarry {
  const reader = new CarryReader(bytes);
  if (reader.u8() !== VERSION) throw badCarry('its version is unknown');
  const hasSpans = reader.u8() === 1;
  const chainBeginTicks = reader.i64();
  const chainEndTicks = reader.i64();
  const tooDeepCount = reader.u32();
  const threadName = reader.text();
  const scopes = reader.list(20, () => ({
    line: reader.u32(),
    hash: reader.u32(),
    name: reader.text(),
    target: reader.text(),
    filename: reader.text(),
  }));
  const open = reader.list(OPEN_SPAN_BYTES, () => ({
    depth: reader.u32(),
    scope: reader.u32(),
    id: reader.i64(),
    parent: reader.i64(),
    beginNs: reader.i64(),
  }));
  reader.end();
  checkOpenSpans(open, scopes.length);
  return { threadName, chainBeginTicks, chainEndTicks, hasSpans, tooDeepCount, scopes, open };
}

/** Depths ascend from the outermost; a depth is missing where a span closed under others. */
function checkOpenSpans(open: readonly OpenSpan[], scopeCount: number): void {
  let outerDepth = 0;
  for (const { depth, scope } of open) {
    if (depth <= outerDepth || depth > SPAN_DEPTH_MAX) throw badCarry('depths of spans are absurd');
    if (scope >= scopeCount) throw badCarry('a span has no scope');
    outerDepth = depth;
  }
}

class CarryWriter {
  readonly bytes: Uint8Array;
  readonly #view: DataView;
  #position = 0;

  constructor(size: number) {
    this.bytes = new Uint8Array(size);
    this.#view = new DataView(this.bytes.buffer);
  }

  u8(value: number): void {
    this.#view.setUint8(this.#position, value);
    this.#position += 1;
  }

  u32(value: number): void {
    this.#view.setUint32(this.#position, value, true);
    this.#position += 4;
  }

  i64(value: bigint): void {
    this.#view.setBigInt64(this.#position, value, true);
    this.#position += 8;
  }

  text(text: Uint8Array = new Uint8Array(0)): void {
    this.u32(text.length);
    this.bytes.set(text, this.#position);
    this.#position += text.length;
  }
}

class CarryReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #position = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  u8(): number {
    return this.#view.getUint8(this.#take(1));
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }

  i64(): bigint {
    return this.#view.getBigInt64(this.#take(8), true);
  }

  text(): string {
    const length = this.u32();
    const start = this.#take(length);
    return exactUtf8.decode(this.#bytes.subarray(start, start + length));
  }

  list<Item>(itemBytesMin: number, readItem: () => Item): Item[] {
    const count = this.u32();
    if (count * itemBytesMin > this.#bytes.length - this.#position) throw badCarry('it ends early');
    return Array.from({ length: count }, readItem);
  }

  end(): void {
    if (this.#position !== this.#bytes.length) throw badCarry('bytes are left over');
  }

  #take(size: number): number {
    const start = this.#position;
    if (size > this.#bytes.length - start) throw badCarry('it ends early');
    this.#position += size;
    return start;
  }
}

function badCarry(why: string): LakehouseError {
  return new LakehouseError('lakehouse.bad-carry', `cannot read a carry of thread spans: ${why}`);
}
