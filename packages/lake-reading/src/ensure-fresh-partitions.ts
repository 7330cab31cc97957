/**
 * Waits until partitions cover what was wanted when the request came. Postgres alone decides; an event from
 * the materializer only makes the next look come sooner. The blocks of the first look are the target: blocks
 * that arrive while a build runs do not move it.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { assert, type BlockId, type ProcessId } from '@tracelake/domain';
import type { SourceBlock } from '@tracelake/lakehouse';
import type { InstanceState } from '@tracelake/storage';
import { LakeReadingError } from './lake-reading-error.ts';

export interface ViewInstance {
  readonly viewSet: string;
  readonly instance: string;
}

export interface PartitionOutcome extends ViewInstance {
  readonly outcome: 'written' | 'current' | 'failed';
  readonly errorMessage?: string | undefined;
}

/** Events about instances, from the moment of the subscription on. */
export interface PartitionWatch extends AsyncDisposable {
  /** The next event, or undefined when none came within the time. */
  next(waitMs: number, signal: AbortSignal): Promise<PartitionOutcome | undefined>;
}

/** One moment of any set of view instances; what else it holds is its reader's business. */
export interface InstancesSnapshot {
  readonly instances: readonly InstanceState[];
}

export interface BuildRequest extends ViewInstance {
  readonly processId: ProcessId;
  readonly wanted: readonly BlockId[];
  /** Told apart by the bus: a request sent again is another message only with another attempt. */
  readonly attempt: number;
}

export interface FreshnessPorts<Snapshot extends InstancesSnapshot> {
  loadSnapshot(signal: AbortSignal): Promise<Snapshot>;
  /** Whether the instance's partitions are consistent and cover at least these blocks. */
  isComplete(
    snapshot: Snapshot,
    instance: Snapshot['instances'][number],
    wanted: readonly BlockId[],
  ): boolean;
  watch(instances: readonly ViewInstance[], signal: AbortSignal): Promise<PartitionWatch>;
  requestBuild(request: BuildRequest, signal: AbortSignal): Promise<void>;
}

export interface FreshnessOptions {
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  /** Between two looks while no event comes. Default one second. */
  readonly pollMs?: number;
}

export interface FreshPartitions<Snapshot extends InstancesSnapshot> {
  /** Only instances that were wanted at the first look. */
  readonly snapshot: Snapshot;
  /** Instances that had to be built. */
  readonly builtCount: number;
}

/** A request may be lost with its bus: it is sent again after this. */
const REQUEST_AGAIN_MS = 5000;
const FAILURES_MAX = 3;
const POLL_MS = 1000;

/** Errors: `lake-reading.build-timeout`, `lake-reading.build-failed`, and those of the ports. */
export async function ensureFreshPartitions<Snapshot extends InstancesSnapshot>(
  ports: FreshnessPorts<Snapshot>,
  options: FreshnessOptions,
): Promise<FreshPartitions<Snapshot>> {
  const first = await ports.loadSnapshot(options.signal);
  const target = new Target(ports, first);
  const behind = target.behind(first);
  if (behind.length === 0) return { snapshot: target.restrict(first), builtCount: 0 };
  await using watch = await ports.watch(behind, options.signal);
  const snapshot = await awaitBuilds({ ports, target, watch }, options);
  return { snapshot, builtCount: behind.length };
}

interface Waiting<Snapshot extends InstancesSnapshot> {
  readonly ports: FreshnessPorts<Snapshot>;
  readonly target: Target<Snapshot>;
  readonly watch: PartitionWatch;
}

async function awaitBuilds<Snapshot extends InstancesSnapshot>(
  { ports, target, watch }: Waiting<Snapshot>,
  { timeoutMs, signal, pollMs = POLL_MS }: FreshnessOptions,
): Promise<Snapshot> {
  const deadlineMs = performance.now() + timeoutMs;
  const failures = new Map<string, number>();
  let requestAtMs = 0;
  let attempt = 0;
  for (;;) {
    const snapshot = await ports.loadSnapshot(signal);
    const behind = target.behind(snapshot);
    if (behind.length === 0) return target.restrict(snapshot);
    const nowMs = performance.now();
    if (nowMs >= deadlineMs) throw timedOut(behind, timeoutMs);
    if (nowMs >= requestAtMs) {
      for (const instance of behind) {
        await ports.requestBuild({ ...target.requestOf(instance), attempt }, signal);
      }
      attempt += 1;
      requestAtMs = performance.now() + REQUEST_AGAIN_MS;
    }
    const nextLookMs = Math.min(deadlineMs, performance.now() + pollMs);
    const failed = await collectOutcomes({ watch, behind, untilMs: nextLookMs, failures, signal });
    if (failed) requestAtMs = 0;
  }
}

interface OutcomeWait {
  readonly watch: PartitionWatch;
  readonly behind: readonly ViewInstance[];
  readonly untilMs: number;
  readonly failures: Map<string, number>;
  readonly signal: AbortSignal;
}

/** Returns once every instance was heard of, or when time is up; true when a build failed. */
async function collectOutcomes(wait: OutcomeWait): Promise<boolean> {
  const outstanding = new Set(wait.behind.map(nameOf));
  let failed = false;
  while (outstanding.size > 0) {
    const waitMs = wait.untilMs - performance.now();
    if (waitMs <= 0) break;
    const event = await wait.watch.next(waitMs, wait.signal);
    if (event === undefined) {
      // A watch may end before its time; the next look must not come sooner for that.
      await pauseUntil(wait.untilMs, wait.signal);
      break;
    }
    if (!outstanding.delete(nameOf(event)) || event.outcome !== 'failed') continue;
    failed = true;
    const count = (wait.failures.get(nameOf(event)) ?? 0) + 1;
    wait.failures.set(nameOf(event), count);
    if (count >= FAILURES_MAX) throw buildFailed(event);
  }
  return failed;
}

async function pauseUntil(untilMs: number, signal: AbortSignal): Promise<void> {
  const waitMs = untilMs - performance.now();
  if (waitMs > 0) await sleep(waitMs, undefined, { signal });
  signal.throwIfAborted();
}

/** The blocks of each instance at the first look. */
class Target<Snapshot extends InstancesSnapshot> {
  readonly #ports: FreshnessPorts<Snapshot>;
  readonly #wanted: ReadonlyMap<string, readonly SourceBlock[]>;

  constructor(ports: FreshnessPorts<Snapshot>, first: Snapshot) {
    this.#ports = ports;
    this.#wanted = new Map(first.instances.map((one) => [nameOf(one), one.wanted]));
  }

  requestOf({ viewSet, instance }: ViewInstance): Omit<BuildRequest, 'attempt'> {
    const blocks = this.#wanted.get(nameOf({ viewSet, instance })) ?? [];
    const [first] = blocks;
    assert(first !== undefined, 'an instance that wants no block is never behind');
    return { viewSet, instance, processId: first.processId, wanted: idsOf(blocks) };
  }

  behind(snapshot: Snapshot): ViewInstance[] {
    return this.restrict(snapshot)
      .instances.filter((one) => this.#isBehind(snapshot, one))
      .map(({ viewSet, instance }) => ({ viewSet, instance }));
  }

  restrict(snapshot: Snapshot): Snapshot {
    const instances = snapshot.instances.filter((one) => this.#wanted.has(nameOf(one)));
    return { ...snapshot, instances };
  }

  #isBehind(snapshot: Snapshot, one: Snapshot['instances'][number]): boolean {
    const wanted = idsOf(this.#wanted.get(nameOf(one)) ?? []);
    return wanted.length > 0 && !this.#ports.isComplete(snapshot, one, wanted);
  }
}

function idsOf(blocks: readonly SourceBlock[]): BlockId[] {
  return blocks.map((block) => block.blockId);
}

function nameOf({ viewSet, instance }: ViewInstance): string {
  return `${viewSet}/${instance}`;
}

function timedOut(behind: readonly ViewInstance[], timeoutMs: number): LakeReadingError {
  return new LakeReadingError(
    'lake-reading.build-timeout',
    `partitions were not built within ${timeoutMs / 1000} s; ask again, builds go on meanwhile`,
    { retryable: true, details: { instances: behind.slice(0, 10).map(nameOf), timeoutMs } },
  );
}

function buildFailed(event: PartitionOutcome): LakeReadingError {
  return new LakeReadingError(
    'lake-reading.build-failed',
    `partitions of ${nameOf(event)} cannot be built: ${event.errorMessage ?? 'no reason given'}`,
    { retryable: true, details: { viewSet: event.viewSet, instance: event.instance } },
  );
}
