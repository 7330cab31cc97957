/** Blocks of a `cpu` stream whose event types are laid out at random, as no client does and any might. */
import type { UserDefinedType, UserDefinedTypeMember } from '@tracelake/domain';
import { RecordingBuilder, type SeededRandom } from '@tracelake/test-kit';
import { type RawBlock, rawBlockOf } from './block-inputs.ts';

interface EventType {
  readonly type: UserDefinedType;
  /** Where the ids of dependencies lie. */
  readonly scopeOffset: number;
  readonly nameOffset: number | undefined;
  readonly otherOffset: number | undefined;
}

const DESCRIPTIONS = 5;

/** Descriptions, locations and texts of a recorded block, with the ids of each. */
function recordedDependencies(): RawBlock & {
  readonly descriptions: Uint8Array[];
  readonly locations: Uint8Array[];
  readonly names: Uint8Array[];
} {
  const recording = new RecordingBuilder();
  const thread = recording.addThread();
  const ids = {
    descriptions: [] as Uint8Array[],
    locations: [] as Uint8Array[],
    names: [] as Uint8Array[],
  };
  for (let index = 0; index < DESCRIPTIONS; index += 1) {
    const scope = { name: `scope ${index % 3}`, target: 'random', file: 'r.rs', line: index };
    thread.begin(scope, index);
    thread.beginNamed(scope, `name ${index % 2}`, index);
  }
  const block = rawBlockOf(recording.requests(), 'cpu');
  for (let at = 0; at < block.objects.length; at += 17 + 33) {
    ids.descriptions.push(block.objects.subarray(at + 1, at + 9));
    ids.locations.push(block.objects.subarray(at + 18, at + 26));
    ids.names.push(block.objects.subarray(at + 26, at + 34));
  }
  return { ...block, ...ids };
}

/** A type with the members in any order, anything between them, and now and then one more reference. */
function randomType(name: string, random: SeededRandom): EventType {
  const isAsync = name.includes('Async');
  const isNamed = name.includes('Named');
  const scopeMember = `${isAsync ? '' : 'thread_'}span_${isNamed ? 'location' : 'desc'}`;
  const int64 = (): string => random.pick(['u64', 'i64', 'uint64', 'int64']);
  const wanted: [memberName: string, typeName: string, size: number][] = [
    [scopeMember, '& Scope', 8],
    ['time', int64(), 8],
    ...(isNamed ? ([['name', 'StringId', 16]] as const) : []),
    ...(isAsync
      ? ([
          ['span_id', int64(), 8],
          ['parent_span_id', int64(), 8],
        ] as const)
      : []),
    ...(isAsync
      ? [
          random.pick([
            ['depth', 'u32', 4],
            ['depth', 'u8', 1],
          ] as const),
        ]
      : []),
    ...(random.int(8) === 0 ? ([['more', '& Other', 8]] as const) : []),
  ].map(([memberName, typeName, size]) => [memberName, typeName, size] as [string, string, number]);
  const members: UserDefinedTypeMember[] = [];
  let offset = random.int(4);
  for (const [memberName, typeName, size] of random.shuffle(wanted)) {
    const isReference = typeName.startsWith('&');
    members.push({ name: memberName, typeName, offset, size, isReference });
    offset += size + (random.int(3) === 0 ? random.int(9) : 0);
  }
  const offsetOf = (memberName: string) =>
    members.find((member) => member.name === memberName)?.offset;
  return {
    type: {
      name,
      size: offset + random.int(3),
      isReference: false,
      members: random.shuffle(members),
    },
    scopeOffset: offsetOf(scopeMember) ?? 0,
    nameOffset: offsetOf('name'),
    otherOffset: offsetOf('more'),
  };
}

const NAMES = ['BeginThread', 'EndThread', 'BeginAsync', 'EndAsync'].flatMap((kind) => [
  `${kind}SpanEvent`,
  `${kind}NamedSpanEvent`,
]);

/** A block of such events among others that nobody knows. */
export function randomSpanBlock(random: SeededRandom): RawBlock {
  const recorded = recordedDependencies();
  const known = random.shuffle([...NAMES]).slice(0, 1 + random.int(NAMES.length));
  const events = known.map((name) => randomType(name, random));
  const unknown: UserDefinedType[] = [
    { name: 'Unknown', size: 1 + random.int(30), isReference: false, members: [] },
    { name: 'UnknownText', size: 0, isReference: false, members: [] },
  ];
  const stringId = recorded.objectsMetadata.find(({ name }) => name === 'StringId');
  const objectsMetadata = [...events.map(({ type }) => type), ...unknown];
  if (stringId !== undefined) objectsMetadata.push(stringId);
  const records: Uint8Array[] = [];
  for (let count = random.int(60); count > 0; count -= 1) {
    const index = random.int(events.length + (random.int(4) === 0 ? 2 : 0));
    records.push(randomRecord(index, events[index], objectsMetadata[index]?.size ?? 0));
  }
  return { ...recorded, objectsMetadata, objects: Buffer.concat(records) };

  function randomRecord(index: number, event: EventType | undefined, size: number): Uint8Array {
    const bytesOf = (count: number) => Uint8Array.from({ length: count }, () => random.int(256));
    if (size === 0) {
      const text = bytesOf(random.int(20));
      return Buffer.from([index, text.length, 0, 0, 0, ...text]);
    }
    const instance = bytesOf(size);
    if (event !== undefined) {
      const { scopeOffset, nameOffset, otherOffset } = event;
      const scopes = nameOffset === undefined ? recorded.descriptions : recorded.locations;
      instance.set(random.pick(scopes), scopeOffset);
      if (nameOffset !== undefined) instance.set(random.pick(recorded.names), nameOffset);
      if (otherOffset !== undefined) instance.set(random.pick(recorded.names), otherOffset);
    }
    return Buffer.from([index, ...instance]);
  }
}
