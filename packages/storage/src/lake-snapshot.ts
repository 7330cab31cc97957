/**
 * One moment of any set of view instances, as readers need it: three statements whatever the number of instances,
 * streams, partitions and blocks, and nothing is held for a block.
 */
import type { Nanoseconds, ProcessId, StreamId } from '@tracelake/domain';
import { ensureExists } from '@tracelake/domain';
import {
  BlockSetDigest,
  calibrate,
  chooseCalibrationEvidence,
  type SourceContext,
  type ViewSet,
} from '@tracelake/lakehouse';
import { type PartitionState, readCoveredPartitions } from './covered-partitions.ts';
import type { LookMoment } from './look-moment.ts';
import type { InstanceKey } from './partition-rows.ts';
import type { Connection } from './postgres/database.ts';
import { nsToMicroseconds } from './postgres/microseconds.ts';
import {
  type ContextRequest,
  type FoundContext,
  type ProcessFacts,
  readContexts,
} from './snapshot-context.ts';
import { countStreamBlocks, type StreamBlocks } from './stream-blocks.ts';

/** What a snapshot needs to know of a view. */
export type SnapshotView = Pick<ViewSet, 'name' | 'streamTag' | 'instanceRule'>;

/** A view and the version of its schema that is wanted. */
export interface WantedView {
  readonly view: SnapshotView;
  readonly schemaHash: string;
}

export interface SnapshotRequest extends WantedView {
  readonly instance: string;
}

/** A view over all processes: one instance for each that has blocks of the view's tag. */
export interface GlobalRequest extends WantedView {
  /** Processes whose blocks all lie outside are left out. Inclusive at both ends. */
  readonly blocksBetween?: { readonly beginNs: Nanoseconds; readonly endNs: Nanoseconds };
}

/** A view whose instance is the process has one instance; one whose instance is a stream has one a stream. */
export interface ProcessSnapshotRequest {
  readonly processId: ProcessId;
  readonly views: readonly WantedView[];
}

export interface LakeSnapshotRequest {
  readonly instances: readonly SnapshotRequest[];
  /** Views whose instance is the process. */
  readonly globals: readonly GlobalRequest[];
  /** Every instance that a process has in some views. */
  readonly processes: readonly ProcessSnapshotRequest[];
  /** The first look of a series: targets are what was wanted then. Left out, they are what is wanted now. */
  readonly since?: LookMoment | undefined;
  /** Whether instances have a `contentDigest`. */
  readonly digests?: boolean;
}

export interface InstanceState extends InstanceKey {
  readonly streamTag: string;
  /** The streams whose wanted blocks are those of the instance. */
  readonly blocksOf: ReadonlyMap<StreamId, StreamBlocks>;
  /** Wanted blocks, and how many of them partitions cover. */
  readonly known: number;
  readonly covered: number;
  /** The same of blocks that were wanted at the first look. */
  readonly target: number;
  readonly targetCovered: number;
  /** Oldest insert times first, a tail last. */
  readonly partitions: readonly PartitionState[];
  /** Over the covered blocks and their content, however they are cut. Empty when it was not asked for. */
  readonly contentDigest: string;
}

export interface LakeInstance extends InstanceState, ProcessFacts {}

export interface LakeSnapshot {
  readonly moment: LookMoment;
  /** Each once, in no particular order; an instance that is not known is there and wants nothing. */
  readonly instances: readonly LakeInstance[];
}

export interface ProcessSnapshot extends LakeSnapshot, ProcessFacts {}

/** Run it in a REPEATABLE READ transaction. */
export async function readLakeSnapshot(
  transaction: Connection,
  request: LakeSnapshotRequest,
): Promise<LakeSnapshot> {
  const { moment, instances } = await lookAtLake(transaction, request);
  return { moment, instances };
}

/** Run it in a REPEATABLE READ transaction. */
export async function readProcessSnapshot(
  transaction: Connection,
  request: ProcessSnapshotRequest,
  since?: LookMoment,
): Promise<ProcessSnapshot> {
  const lake = { instances: [], globals: [], processes: [request], digests: true, since };
  const { contexts, ...snapshot } = await lookAtLake(transaction, lake);
  const facts = contexts.map((context) => context.facts);
  return {
    ...snapshot,
    process: facts[0]?.process,
    calibrationCandidates: facts[0]?.calibrationCandidates ?? [],
    lastBlockEndNs: facts[0]?.lastBlockEndNs,
    // One set for each tag.
    streams: new Map(facts.flatMap(({ streams }) => [...streams])),
  };
}

async function lookAtLake(
  transaction: Connection,
  request: LakeSnapshotRequest,
): Promise<LakeSnapshot & { readonly contexts: readonly FoundContext[] }> {
  const { since, digests: wantsDigests } = request;
  const asked = questionsOf(request);
  const questions = asked.map(({ question }) => question);
  const { moment, contexts } = await readContexts(transaction, questions, { since });
  const found = instancesOf(asked, contexts);
  const laterStreams = [...new Set(contexts.flatMap((context) => context.laterStreams))];
  const digests = wantsDigests === true ? found.map(() => new BlockSetDigest()) : undefined;
  // Sent together.
  const [partitions, blocks] = await Promise.all([
    readCoveredPartitions(transaction, {
      instances: found,
      since,
      laterStreams,
      onLines: digests && ((instance, lines) => digests[instance]?.add(lines)),
    }),
    countStreamBlocks(transaction, { streams: streamsOf(found), since, laterStreams }),
  ]);
  const instances = found.map((one, index) =>
    stateOf(one, {
      blocks,
      partitions: partitions[index] ?? [],
      contentDigest: String(digests?.[index] ?? ''),
    }),
  );
  return { moment, instances, contexts };
}

interface AskedViews {
  readonly question: ContextRequest;
  readonly views: readonly WantedView[];
}

interface FoundInstance extends InstanceKey {
  readonly streamTag: string;
  readonly facts: ProcessFacts;
  readonly context: SourceContext | undefined;
  readonly streamIds: readonly StreamId[];
}

/** What tells of one instance. */
export function questionOf({
  view,
  instance,
}: Omit<SnapshotRequest, 'schemaHash'>): ContextRequest {
  const { streamTag, instanceRule } = view;
  return instanceRule === 'process'
    ? { kind: 'process', processId: instance as ProcessId, streamTag }
    : { kind: 'stream', streamId: instance as StreamId, streamTag };
}

function questionsOf({ instances, globals, processes }: LakeSnapshotRequest): AskedViews[] {
  const asked: AskedViews[] = [];
  for (const { processId, views } of processes) {
    for (const [streamTag, ofTag] of Map.groupBy(views, ({ view }) => view.streamTag)) {
      asked.push({ question: { kind: 'process', processId, streamTag }, views: ofTag });
    }
  }
  for (const wanted of instances) asked.push({ question: questionOf(wanted), views: [wanted] });
  for (const { view, schemaHash, blocksBetween: range } of globals) {
    const blocksBetween = range && {
      beginUs: nsToMicroseconds(range.beginNs),
      endUs: nsToMicroseconds(range.endNs),
    };
    const question = { kind: 'global', streamTag: view.streamTag, blocksBetween } as const;
    asked.push({ question, views: [{ view, schemaHash }] });
  }
  return asked;
}

/** Each instance once, whichever questions it answers. */
function instancesOf(
  asked: readonly AskedViews[],
  contexts: readonly FoundContext[],
): FoundInstance[] {
  const found = new Map<string, FoundInstance>();
  for (const { request, facts } of contexts) {
    const answered = asked[request];
    if (answered === undefined) continue;
    const context = sourceContextOf(facts);
    for (const { view, schemaHash } of answered.views) {
      const { name: viewSet, streamTag } = view;
      for (const [instance, streamIds] of namesOf(view, answered.question, facts)) {
        const one = { viewSet, instance, schemaHash, streamTag, facts, context, streamIds };
        const key = `${viewSet}/${instance}`;
        if (!found.has(key)) found.set(key, one);
      }
    }
  }
  return [...found.values()];
}

/** The instances of a view that a question is about, and the streams of each. */
function namesOf(
  { instanceRule }: SnapshotView,
  question: ContextRequest,
  { process, streams }: ProcessFacts,
): [string, StreamId[]][] {
  const streamIds = [...streams.keys()];
  if (question.kind === 'stream') return [[question.streamId, streamIds]];
  if (instanceRule === 'stream') return streamIds.map((streamId) => [streamId, [streamId]]);
  const processId = question.kind === 'process' ? question.processId : process?.processId;
  return processId === undefined ? [] : [[processId, streamIds]];
}

export function sourceContextOf(facts: ProcessFacts): SourceContext | undefined {
  const { process, streams, calibrationCandidates } = facts;
  if (process === undefined) return undefined;
  const evidence = chooseCalibrationEvidence(process, calibrationCandidates);
  return { process, streams, calibration: calibrate(process, evidence) };
}

function streamsOf(instances: readonly FoundInstance[]) {
  const viewSetsOf = new Map<StreamId, Set<string>>();
  const processOf = new Map<StreamId, ProcessId>();
  for (const { viewSet, streamIds, facts } of instances) {
    for (const streamId of streamIds) {
      const viewSets = viewSetsOf.get(streamId) ?? new Set();
      viewSetsOf.set(streamId, viewSets.add(viewSet));
      const stream = ensureExists(facts.streams.get(streamId), 'stream of an instance');
      processOf.set(streamId, stream.processId);
    }
  }
  return [...processOf].map(([streamId, processId]) => {
    return { streamId, processId, viewSets: [...(viewSetsOf.get(streamId) ?? [])] };
  });
}

function stateOf(
  found: FoundInstance,
  looked: {
    readonly blocks: ReadonlyMap<StreamId, StreamBlocks>;
    readonly partitions: readonly PartitionState[];
    readonly contentDigest: string;
  },
): LakeInstance {
  const { viewSet, instance, schemaHash, streamTag, facts, streamIds } = found;
  const { partitions, contentDigest } = looked;
  const blocksOf = new Map<StreamId, StreamBlocks>();
  let known = 0;
  let target = 0;
  for (const streamId of streamIds) {
    const blocks = looked.blocks.get(streamId);
    if (blocks === undefined) continue;
    blocksOf.set(streamId, blocks);
    known += blocks.known;
    target += blocks.target;
  }
  let covered = 0;
  let targetCovered = 0;
  for (const { presentCount, targetCount } of partitions) {
    covered += presentCount;
    targetCovered += targetCount;
  }
  const key = { viewSet, instance, schemaHash, streamTag };
  const counts = { known, covered, target, targetCovered };
  return { ...facts, ...key, ...counts, blocksOf, partitions, contentDigest };
}
