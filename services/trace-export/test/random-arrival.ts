/** Histories of a recorded process, and exports of it, made up by a seed. */

import { ensureExists, nanoseconds } from '@tracelake/domain';
import { type PartitionRecord, type RowColumns, RUN_EVENTS_MAX } from '@tracelake/lakehouse';
import type { RecordedProcess, SeededRandom } from '@tracelake/test-kit';
import { rangeOf, type SpanChoice } from '../src/export-request.ts';
import { planTrace, type TracePlan, viewsFor } from '../src/trace-plan.ts';
import { ArrivingProcess, type DecodedBlocks } from './arriving-process.ts';

/**
 * Streams and blocks come in batches of any order, some of them twice, blocks before their stream; builds run in
 * between, and some twice. In the end everything has come and is built.
 */
export function arriveAtRandom(
  recorded: RecordedProcess,
  decoded: DecodedBlocks,
  random: SeededRandom,
): ArrivingProcess {
  const runEventsMax = random.pick([1, 5, 1 + random.int(40), 1000, RUN_EVENTS_MAX]);
  const lake = new ArrivingProcess({ recorded, decoded, runEventsMax });
  const arrivals = [
    ...[...recorded.streams.keys()].map((streamId) => () => lake.addStream(streamId)),
    ...recorded.blocks.map((block) => () => lake.addBlock(block)),
  ];
  const twice = arrivals.filter(() => random.int(5) === 0);
  const waiting = [...arrivals, ...twice];
  if (random.int(4) > 0) random.shuffle(waiting);
  const batchMax = 1 + random.int(waiting.length);
  while (waiting.length > 0) {
    for (const arrive of waiting.splice(0, 1 + random.int(batchMax))) arrive();
    if (random.int(5) > 0) lake.build(random);
  }
  lake.build(random);
  return lake;
}

/** What is asked for in an export. */
export interface TraceChoice {
  readonly spans: SpanChoice;
  readonly beginNs: bigint | undefined;
  readonly endNs: bigint | undefined;
  readonly openSpansMax: number;
}

export function randomChoice(recorded: RecordedProcess, random: SeededRandom): TraceChoice {
  const spans = random.pick<SpanChoice>(['both', 'both', 'both', 'thread', 'async']);
  const openSpansMax = random.pick([1_000_000, 1_000_000, 1_000_000, 2]);
  if (recorded.blocks.length === 0 || random.int(3) > 0)
    return { spans, openSpansMax, beginNs: undefined, endNs: undefined };
  const timeNs = () => {
    const block = random.pick(recorded.blocks);
    const lengthNs = Number(block.endNs - block.beginNs);
    return block.beginNs + BigInt(random.int(lengthNs + 1));
  };
  const [one, other] = [timeNs(), timeNs()];
  const [beginNs, endNs] = one < other ? [one, other] : [other, one];
  return { spans, openSpansMax, beginNs, endNs };
}

/** The plan of an export of what is built, and the rows of its files. */
export function tracePlanOf(
  lake: ArrivingProcess,
  { spans, beginNs, endNs }: TraceChoice,
  keyOf: (partition: PartitionRecord) => string,
): { readonly plan: TracePlan; readonly files: ReadonlyMap<string, RowColumns> } {
  const { snapshot, files } = lake.snapshot(keyOf);
  const views = viewsFor(spans);
  const instances = snapshot.instances.filter(({ viewSet }) => views.includes(viewSet));
  const ns = (time: bigint | undefined) => (time === undefined ? undefined : nanoseconds(time));
  const plan = planTrace({
    process: ensureExists(snapshot.process, 'process'),
    snapshot: { ...snapshot, instances },
    range: rangeOf({ beginNs: ns(beginNs), endNs: ns(endNs) }),
    spans,
  });
  return { plan, files };
}
