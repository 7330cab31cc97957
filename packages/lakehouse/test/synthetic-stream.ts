/** Streams made up by a seed: nested spans, lost begins and ends, gaps, overlaps, blocks of every size. */
import { createHash } from 'node:crypto';
import {
  type BlockId,
  nanoseconds,
  type ProcessId,
  type ProcessInfo,
  type StreamId,
  ticks,
} from '@tracelake/domain';
import type { SeededRandom } from '@tracelake/test-kit';
import { type SpanScope, scopeHash } from '@tracelake/transit';
import { calibrate } from '../src/calibration.ts';
import type { SourceBlock, SourceStream } from '../src/partition.ts';
import type { SpanEvents } from '../src/span-fold.ts';
import type { RunContext } from '../src/view.ts';
import type { OracleBlock, OracleEvent } from './call-tree-oracle.ts';

export const START_NS = 1_700_000_000_000_000_000n;
const PROCESS_ID = '11111111-2222-4333-8444-555555555555' as ProcessId;
const STREAM_ID = '66666666-7777-4888-8999-aaaaaaaaaaaa' as StreamId;
export const THREAD_NAME = 'worker-17';

export interface SyntheticStream {
  readonly context: RunContext;
  /** In stream order. */
  readonly blocks: readonly SourceBlock[];
  readonly eventsOf: ReadonlyMap<BlockId, SpanEvents & { readonly skippedEvents: number }>;
  readonly oracleBlocks: readonly OracleBlock[];
}

/** One tick is one nanosecond. */
export function makeContext(): RunContext {
  const process: ProcessInfo = {
    ...{ processId: PROCESS_ID, exe: 'synthetic', username: 'u', realname: 'r', computer: 'c' },
    ...{ distro: 'd', cpuBrand: 'b', tscFrequencyHz: 1_000_000_000n, parentProcessId: undefined },
    ...{ startNs: nanoseconds(START_NS), startTicks: ticks(0n), properties: {} },
  };
  const stream: SourceStream = {
    ...{ streamId: STREAM_ID, processId: PROCESS_ID, tags: ['cpu'] },
    properties: { 'thread-name': 'worker', 'thread-id': '17' },
    ...{ dependenciesMetadata: [], objectsMetadata: [], metadataSha256: new Uint8Array(32) },
  };
  const calibration = calibrate(process, undefined);
  return { process, streams: new Map([[STREAM_ID, stream]]), calibration };
}

export interface BlockSpec {
  readonly beginTicks: bigint;
  readonly endTicks: bigint;
  readonly objectOffset: bigint;
  readonly events: readonly OracleEvent[];
  readonly insertTimeUs?: bigint;
}

export function makeBlock(index: number, spec: BlockSpec): SourceBlock {
  const { beginTicks, endTicks, objectOffset, events } = spec;
  const blockId = `00000000-0000-4000-8000-${index.toString(16).padStart(12, '0')}` as BlockId;
  return {
    ...{ blockId, streamId: STREAM_ID, processId: PROCESS_ID },
    beginNs: nanoseconds(START_NS + beginTicks),
    endNs: nanoseconds(START_NS + endTicks),
    ...{ beginTicks: ticks(beginTicks), endTicks: ticks(endTicks) },
    ...{ objectCount: events.length, objectOffset },
    insertTimeUs: spec.insertTimeUs ?? START_NS / 1000n + BigInt(index),
    contentSha256: createHash('sha256').update(blockId).digest(),
    payloadBytes: 100,
  };
}

export function makeEvents(events: readonly OracleEvent[]): SpanEvents & { skippedEvents: number } {
  const scopes: SpanScope[] = [];
  const scope = events.map(({ name, line }) => {
    const known = scopes.findIndex((one) => one.name === name && one.line === line);
    if (known >= 0) return known;
    const hash = scopeHash(name, 'f.rs', 't', line);
    return scopes.push({ name, line, target: 't', filename: 'f.rs', hash }) - 1;
  });
  return {
    count: events.length,
    eventIds: BigInt64Array.from(events, ({ id }) => id),
    times: BigInt64Array.from(events, ({ timeNs }) => timeNs),
    kind: Uint8Array.from(events, ({ kind }) => (kind === 'begin' ? 0 : 1)),
    scope: Uint32Array.from(scope),
    scopes,
    skippedEvents: 0,
  };
}

/** A stream of up to `blocksMax` blocks with a few events each. */
export function makeStream(random: SeededRandom, blocksMax: number): SyntheticStream {
  const specs = makeSpecs(random, 1 + random.int(blocksMax));
  const order = random.shuffle([...specs.keys()]);
  // Times of arrival follow a shuffled order, and some are equal.
  const blocks = specs.map((spec, index) =>
    makeBlock(index, {
      ...spec,
      insertTimeUs: START_NS / 1000n + BigInt((order[index] ?? 0) >> random.int(2)),
    }),
  );
  return {
    context: makeContext(),
    blocks,
    eventsOf: new Map(
      blocks.map(({ blockId }, index) => [blockId, makeEvents(specs[index]?.events ?? [])]),
    ),
    oracleBlocks: specs.map(({ beginTicks, endTicks, events }) => ({
      ...{ beginNs: START_NS + beginTicks, endNs: START_NS + endTicks, events },
    })),
  };
}

function makeSpecs(random: SeededRandom, count: number): BlockSpec[] {
  const specs: BlockSpec[] = [];
  const open: { name: string; line: number }[] = [];
  let now = BigInt(random.int(50));
  let nextId = 0n;
  for (let index = 0; index < count; index++) {
    if (random.int(6) === 0) now += BigInt(1 + random.int(100)); // data is missing
    const beginTicks = now;
    const events: OracleEvent[] = [];
    const objectOffset = nextId;
    for (let left = random.int(7); left > 0; left--) {
      now += BigInt(random.int(4));
      const event = makeEvent(random, open);
      if (event !== undefined) events.push({ ...event, id: nextId, timeNs: START_NS + now });
      nextId++; // async events take ids too
    }
    now += BigInt(random.int(3));
    // Most blocks touch the next, some reach into it.
    const endTicks = now + BigInt(random.int(5) === 0 ? random.int(10) : 0);
    specs.push({ beginTicks, endTicks, objectOffset, events });
    if (beginTicks === now) now += 1n; // stream order stays the order of making
  }
  return specs;
}

function makeEvent(
  random: SeededRandom,
  open: { name: string; line: number }[],
): Pick<OracleEvent, 'kind' | 'name' | 'line'> | undefined {
  const dice = random.int(20);
  const scope = { name: random.pick(['a', 'b', 'c']), line: random.int(2) };
  if (dice === 0) return undefined;
  if (dice === 1) return { kind: 'end', ...scope }; // its begin may be lost
  if (dice === 2) open.pop(); // its end is lost
  const innermost = open.at(-1);
  if (dice < 12 || innermost === undefined) {
    open.push(scope);
    return { kind: 'begin', ...scope };
  }
  open.pop();
  return { kind: 'end', ...innermost };
}
