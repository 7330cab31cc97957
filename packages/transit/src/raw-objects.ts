/** The objects of a block as they were sent, whatever their types: for people who look into a block. */
import { type BlockDecodeInput, openBlock } from './block-decoding.ts';
import type { Dependencies } from './dependencies.ts';
import type { TransitBuffer } from './record-framing.ts';
import type { MemberLayout, TypeLayout } from './record-layout.ts';

export interface RawObject {
  /** Index among all objects of the block. */
  readonly index: number;
  readonly typeName: string;
  /** JSON text: `__type` and the members; 64-bit integers with all their digits. */
  readonly json: string;
}

/** Records that point at records are followed this far. */
const DEPTH_MAX = 4;

/**
 * Lists the objects in order. What has no declared members (length-prefixed types) is shown by its `__size` in
 * bytes. Errors: those of the decoders.
 */
export function* listRawObjects(input: BlockDecodeInput): Generator<RawObject, void, void> {
  const { objects, dependencies } = openBlock(input);
  const { bytes, view, layout } = objects;
  let position = 0;
  for (let index = 0; position < bytes.length; index += 1) {
    const typeIndex = view.getUint8(position);
    position += 1;
    let size = layout.sizes[typeIndex] ?? 0;
    if (size <= 0) {
      size = view.getUint32(position, true);
      position += 4;
    }
    const type = layout.types[typeIndex];
    if (type === undefined) return;
    const isOpaque = type.problem !== undefined;
    const json = isOpaque
      ? `{"__type":${JSON.stringify(type.name)},"__size":${size}}`
      : recordJson({ buffer: objects, type, start: position, dependencies, depth: 0 });
    yield { index, typeName: type.name, json };
    position += size;
  }
}

interface RecordAt {
  readonly buffer: TransitBuffer;
  readonly type: TypeLayout;
  readonly start: number;
  readonly dependencies: Dependencies;
  readonly depth: number;
}

function recordJson(record: RecordAt): string {
  const members = [...record.type.members].map(
    ([name, member]) => `${JSON.stringify(name)}:${memberJson(record, member)}`,
  );
  return `{${[`"__type":${JSON.stringify(record.type.name)}`, ...members].join(',')}}`;
}

function memberJson(record: RecordAt, { kind, offset }: MemberLayout): string {
  const { view } = record.buffer;
  const at = record.start + offset;
  switch (kind) {
    case 'u8':
      return String(view.getUint8(at));
    case 'u32':
      return String(view.getUint32(at, true));
    case 'u64':
      return String(view.getBigUint64(at, true));
    case 'i64':
      return String(view.getBigInt64(at, true));
    case 'f64':
      return JSON.stringify(view.getFloat64(at, true));
    case 'reference':
      return dependencyJson(record, at);
    case 'record':
      return '{}';
  }
}

function dependencyJson({ buffer, dependencies, depth }: RecordAt, at: number): string {
  const found = dependencies.describe(dependencies.resolve(buffer, at));
  switch (found.kind) {
    case 'text':
      return JSON.stringify(found.text);
    case 'properties': {
      const members = [...found.properties].map(
        ([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`,
      );
      return `{${members.join(',')}}`;
    }
    case 'record':
      return depth < DEPTH_MAX ? recordJson({ ...found, dependencies, depth: depth + 1 }) : 'null';
  }
}
