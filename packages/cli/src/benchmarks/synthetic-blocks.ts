/** Blocks of one thread as a native client sends them: nested spans of a small program, with times that jitter. */

import type { UserDefinedType } from '@tracelake/domain';
import { encodeBlockPayload } from '@tracelake/transit';
import { compressLz4Frame } from './lz4-compression.ts';

/** How the records of a stream are laid out. */
export interface StreamTypes {
  readonly dependenciesMetadata: readonly UserDefinedType[];
  readonly objectsMetadata: readonly UserDefinedType[];
}

const TEXT = '* const u8';

function recordType(
  name: string,
  size: number,
  ...members: readonly (readonly [name: string, typeName: string, offset: number, size: number])[]
): UserDefinedType {
  return {
    name,
    size,
    isReference: false,
    members: members.map(([member, typeName, offset, bytes]) => ({
      name: member,
      typeName,
      offset,
      size: bytes,
      isReference: typeName.startsWith('&') || typeName.startsWith('*'),
    })),
  };
}

const spanEvent = (name: string) =>
  recordType(name, 16, ['thread_span_desc', "& 'static SpanMetadata", 0, 8], ['time', 'i64', 8, 8]);

export const syntheticTypes: StreamTypes = {
  objectsMetadata: [spanEvent('BeginThreadSpanEvent'), spanEvent('EndThreadSpanEvent')],
  dependenciesMetadata: [
    recordType(
      'SpanRecord',
      48,
      ['id', 'u64', 0, 8],
      ['name', TEXT, 8, 8],
      ['target', TEXT, 16, 8],
      ['module_path', TEXT, 24, 8],
      ['file', TEXT, 32, 8],
      ['line', 'u32', 40, 4],
      ['lod', 'u32', 44, 4],
    ),
    { name: 'StaticString', size: 0, isReference: false, members: [] },
  ],
};

const BEGIN = 0;
const END = 1;
const SPAN_RECORD = 0;
const STATIC_STRING = 1;
const EVENT_BYTES = 17;
/** Begins and ends of one `outer`, two `inner` in it and two `leaf` in each of these, by scope. */
const ITERATION = [0, 1, 2, 2, 2, 2, 1, 1, 2, 2, 2, 2, 1, 0];
const BEGINS = [1, 1, 1, 0, 1, 0, 0, 1, 1, 0, 1, 0, 0, 0];
const SCOPES = ['outer', 'inner', 'leaf'];

/** Payload number `index`, as the store holds it: the same arguments give the same bytes. `eventCount` is rounded down. */
export function makeSyntheticBlock(index: number, eventCount: number): Uint8Array {
  const iterations = Math.max(1, Math.floor(eventCount / ITERATION.length));
  const objects = Buffer.alloc(iterations * ITERATION.length * EVENT_BYTES);
  let random = (index + 1) * 2654435761;
  let ticks = 1e9 * (index + 1);
  let at = 0;
  for (let iteration = 0; iteration < iterations; iteration++) {
    for (let step = 0; step < ITERATION.length; step++) {
      random = (Math.imul(random, 1664525) + 1013904223) | 0;
      ticks += 40 + (random >>> 24);
      objects[at] = BEGINS[step] === 1 ? BEGIN : END;
      writePointer(objects, at + 1, pointerOf(ITERATION[step] ?? 0));
      objects.writeUIntLE(ticks, at + 9, 6);
      at += EVENT_BYTES;
    }
  }
  return encodeBlockPayload({
    dependencies: compressLz4Frame(makeDependencies()),
    objects: compressLz4Frame(objects),
  });
}

function makeDependencies(): Uint8Array {
  const [target, file] = [pointerOf(100), pointerOf(101)];
  return Buffer.concat([
    staticString(target, 'synthetic'),
    staticString(file, 'src/main.rs'),
    ...SCOPES.flatMap((name, scope) => {
      const text = pointerOf(200 + scope);
      const record = Buffer.alloc(49);
      record[0] = SPAN_RECORD;
      for (const [field, pointer] of [pointerOf(scope), text, target, target, file].entries()) {
        writePointer(record, 1 + 8 * field, pointer);
      }
      record.writeUInt32LE(10 * (scope + 1), 41);
      return [staticString(text, name), record];
    }),
  ]);
}

function staticString(pointer: number, text: string): Buffer {
  const record = Buffer.alloc(13 + Buffer.byteLength(text));
  record[0] = STATIC_STRING;
  record.writeUInt32LE(8 + Buffer.byteLength(text), 1);
  writePointer(record, 5, pointer);
  record.write(text, 13);
  return record;
}

function pointerOf(id: number): number {
  return 0x5581_0000 + 16 * id;
}

function writePointer(bytes: Buffer, at: number, pointer: number): void {
  bytes.writeUInt32LE(pointer, at);
  bytes.writeUInt32LE(0x7ffc, at + 4);
}
