/**
 * Merges small runs of an instance into larger ones, as `planCompaction` says, by building the merged run from its
 * blocks as any other. It keeps out of the way of builds: it has a claim of its own, so no build waits for it, and
 * a commit that meets another writer is dropped. It changes no row: where a merged run would not have exactly
 * what the runs it replaces have, they stay.
 */

import type { TokenPool } from '@tracelake/channels';
import type { BlockId } from '@tracelake/domain';
import {
  type CompactionGroup,
  compareInsertOrder,
  planCompaction,
  type SourceBlock,
  type ViewSet,
} from '@tracelake/lakehouse';
import type { NewPartition, RejectedBlock } from '@tracelake/storage';
import { withBuildClaim } from '../build/build-claim.ts';
import type { BuildDependencies } from '../build/build-dependencies.ts';
import type { BuildRequest } from '../build/instance-builds.ts';
import { type InstanceLook, lookAtInstance } from '../build/instance-look.ts';
import { executePlan } from '../build/plan-execution.ts';
import type { BuildActivity } from './build-activity.ts';
import { type CompactionMetrics, metricsBesideBuilds } from './compaction-metrics.ts';

export interface InstanceCompactorOptions {
  /** Of the lane whose instances it merges. */
  readonly deps: BuildDependencies;
  /** One token for the whole service: a merged run is held in memory as a built one is. */
  readonly turn: TokenPool;
  readonly metrics: CompactionMetrics;
  readonly activity: BuildActivity;
}

export interface CompactionReport {
  /** Runs that are gone. */
  readonly runsIn: number;
  /** Runs they became. */
  readonly runsOut: number;
  /** Partitions that the instance has now, tails included. */
  readonly partitions: number;
}

/** How long one block waits for builds, and how long those of one group do altogether. */
const BLOCK_PATIENCE_MS = 250;
const GROUP_PATIENCE_MS = 60_000;

type Outcome = 'merged' | 'dropped' | 'refused';

/** Merges in one lane, when it is its turn. */
export class InstanceCompactor {
  readonly #options: InstanceCompactorOptions;
  readonly #deps: BuildDependencies;

  constructor(options: InstanceCompactorOptions) {
    this.#options = options;
    const { deps } = options;
    // One block at a time is decoded, so a merge takes one core at most.
    const settings = { ...deps.settings, workers: 1 };
    this.#deps = { ...deps, settings, metrics: metricsBesideBuilds(deps.metrics) };
  }

  /** Merges what there is to merge now. Errors: storage's; the signal's reason. What is committed by then stays. */
  async compact(request: BuildRequest, callerSignal: AbortSignal): Promise<CompactionReport> {
    const { catalog, logger, registry, settings } = this.#deps;
    const view = registry.get(request.viewSet);
    const instance = registry.checkInstance(view.name, request.instance);
    using _turn = await this.#options.turn.acquire(callerSignal);
    const signal = AbortSignal.any([callerSignal, AbortSignal.timeout(settings.buildTimeoutMs)]);
    const viewSet = `${view.name}#compaction`;
    const claim = { catalog, logger, viewSet, instance, ttlMs: settings.claimMs, signal };
    return await withBuildClaim(claim, (claimSignal) =>
      this.#compactUnderClaim(view, instance, claimSignal),
    );
  }

  async #compactUnderClaim(
    view: ViewSet,
    instance: string,
    signal: AbortSignal,
  ): Promise<CompactionReport> {
    const look = await lookAtInstance(view, instance, this.#deps, signal);
    const { partitions } = look.snapshot;
    const groups = planCompaction(look.layout);
    let runsIn = 0;
    let runsOut = 0;
    // A group may start from the carry of the last run of the one before, so that one comes later.
    for (const group of groups.toReversed()) {
      const outcome = await this.#mergeCounted({ view, instance, look, group }, signal);
      // Others are at work on it: they give reason to look again.
      if (outcome === 'dropped') break;
      if (outcome !== 'merged') continue;
      runsIn += group.partitions.length;
      runsOut += 1;
    }
    return { runsIn, runsOut, partitions: partitions.length - runsIn + runsOut };
  }

  async #mergeCounted(merge: MergeRequest, signal: AbortSignal): Promise<Outcome> {
    const { compactions, compactionMs } = this.#options.metrics;
    const view = merge.view.name;
    const startMs = performance.now();
    try {
      const outcome = await this.#merge(merge, signal);
      compactions.inc({ view, outcome });
      compactionMs.observe({ view }, performance.now() - startMs);
      return outcome;
    } catch (error) {
      compactions.inc({ view, outcome: 'failed' });
      throw error;
    }
  }

  async #merge(merge: MergeRequest, signal: AbortSignal): Promise<Outcome> {
    const { view, instance, look, group } = merge;
    const { schemaHash, context } = look;
    const replaces = group.partitions.map((partition) => partition.partitionId);
    const blocks = await this.#loadBlocks(merge, replaces, signal);
    if (blocks.length !== group.blockCount) return 'dropped';
    const rejectedBefore = await this.#findRejected(view, blocks, signal);
    let made: NewPartition | undefined;
    let isRefused = false;
    const accepts = (run: NewPartition, rejected: readonly RejectedBlock[]) => {
      made = run;
      isRefused = !givesTheSame(group, run, rejected, rejectedBefore);
      return !isRefused;
    };
    const segment = { kind: 'build', blocks, replaces, reason: 'merged' } as const;
    const plan = {
      decision: 'build',
      segments: [segment],
      tailNeeded: false,
      retires: [],
      isPartial: false,
    } as const;
    const { decision } = await executePlan(
      {
        ...{ view, instance, schemaHash, context, plan, signal },
        merge: { predecessor: group.predecessor, accepts },
      },
      { ...this.#deps, giveWay: this.#patience() },
    );
    this.#options.metrics.payloadBytes.inc({ view: view.name }, payloadBytesOf(blocks));
    const facts = { view: view.name, instance, runCount: replaces.length };
    if (isRefused) this.#deps.logger.warn('partitions not merged: their rows differ', facts);
    else if (decision === 'conflict') this.#deps.logger.info('merge lost to another writer', facts);
    else if (made !== undefined) this.#reportMerged(merge, made);
    return isRefused ? 'refused' : decision === 'conflict' ? 'dropped' : 'merged';
  }

  /** As the merged run is to fold them. */
  async #loadBlocks(
    { view, instance, look }: MergeRequest,
    partitionIds: readonly string[],
    signal: AbortSignal,
  ): Promise<SourceBlock[]> {
    const key = { viewSet: view.name, instance, schemaHash: look.schemaHash };
    const blocks = await this.#deps.catalog.loadCoveredBlocks(key, partitionIds, signal);
    // Runs of a view that does not fold may reach into each other.
    return view.folds ? blocks : blocks.sort(compareInsertOrder);
  }

  /** Those of the blocks that could not be decoded when the runs were built. */
  async #findRejected(
    view: ViewSet,
    blocks: readonly SourceBlock[],
    signal: AbortSignal,
  ): Promise<ReadonlySet<BlockId>> {
    const blockIds = blocks.map(({ blockId }) => blockId);
    const found = await this.#deps.catalog.findRejected(view.name, blockIds, signal);
    return new Set(found.map(({ blockId }) => blockId));
  }

  /** Lets builds go first before each block, within bounds. */
  #patience(): (signal: AbortSignal) => Promise<void> {
    let leftMs = GROUP_PATIENCE_MS;
    return async (signal) => {
      const startMs = performance.now();
      await this.#options.activity.untilQuiet(Math.min(BLOCK_PATIENCE_MS, leftMs), signal);
      leftMs -= performance.now() - startMs;
    };
  }

  #reportMerged({ view, instance, group }: MergeRequest, made: NewPartition): void {
    const { runs, bytes } = this.#options.metrics;
    const { partitionId, rowCount, sizeBytes } = made;
    const runCount = group.partitions.length;
    const bytesIn = group.partitions.reduce((sum, partition) => sum + partition.sizeBytes, 0);
    runs.inc({ view: view.name, direction: 'in' }, runCount);
    runs.inc({ view: view.name, direction: 'out' });
    bytes.inc({ view: view.name, direction: 'in' }, bytesIn);
    bytes.inc({ view: view.name, direction: 'out' }, sizeBytes);
    const facts = { runCount, blockCount: group.blockCount, rowCount, bytesIn, sizeBytes };
    const about = { view: view.name, instance, partitionId };
    this.#deps.logger.info('partitions merged', { ...about, ...facts });
  }
}

interface MergeRequest {
  readonly view: ViewSet;
  readonly instance: string;
  readonly look: InstanceLook;
  readonly group: CompactionGroup;
}

/**
 * A payload that has been lost or a decoder that crashed would take rows away that are there now, and a block that
 * could not be decoded at first would bring some: neither is for a merge to do.
 */
function givesTheSame(
  group: CompactionGroup,
  made: NewPartition,
  rejected: readonly RejectedBlock[],
  rejectedBefore: ReadonlySet<BlockId>,
): boolean {
  const rows = group.partitions.reduce((sum, partition) => sum + partition.rowCount, 0);
  return (
    made.rowCount === rows &&
    made.carryOutHash === (group.partitions.at(-1)?.carryOutHash ?? null) &&
    rejected.length === rejectedBefore.size &&
    rejected.every(({ blockId }) => rejectedBefore.has(blockId))
  );
}

function payloadBytesOf(blocks: readonly SourceBlock[]): number {
  return blocks.reduce((sum, block) => sum + block.payloadBytes, 0);
}
