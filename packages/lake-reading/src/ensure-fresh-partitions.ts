/**
 * Waits until partitions cover what was wanted when the request came. Postgres alone decides; an event from
 * the materializer only makes the next look come sooner. The blocks of the first look are the target: blocks
 * that arrive while a build runs do not move it.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { ensureExists, type ProcessId } from '@tracelake/domain';
import type { LakeInstance, LookMoment } from '@tracelake/storage';
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
  readonly moment: LookMoment;
  readonly instances: readonly LakeInstance[];
}

export interface BuildRequest extends ViewInstance {
  readonly processId: ProcessId;
  /** As it was at the first look. */
  readonly wanted: Pick<LakeInstance, 'blocksOf'>;
  /** Told apart by the bus: a request sent again is another message only with another attempt. */
  readonly attempt: number;
}

export interface FreshnessPorts<Snapshot extends InstancesSnapshot> {
  /** `since`: the moment of the first look, whose wanted blocks are the target of the later ones. */
  loadSnapshot(signal: AbortSignal, since: LookMoment | undefined): Promise<Snapshot>;
  /** Whether the instance's partitions are consistent and cover at least its target. */
  isComplete(instance: LakeInstance): boolean;
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
  readonly times: FreshnessTimes;
}

/** Where the wait went, in milliseconds; what follows the first look is 0 where nothing had to be built. */
export interface FreshnessTimes {
  /** The first look at the catalog. */
  readonly lookMs: number;
  /** Until the events were watched, a second look was taken and the bus had the requests. */
  readonly requestMs: number;
  /** From there until a look found everything built. */
  readonly buildMs: number;
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
  const startMs = performance.now();
  const first = await ports.loadSnapshot(options.signal, undefined);
  const target = new Target(ports, first);
  const behind = target.behind(first);
  const lookMs = performance.now() - startMs;
  if (behind.length === 0) {
    const times = { lookMs, requestMs: 0, buildMs: 0 };
    return { snapshot: target.restrict(first), builtCount: 0, times };
  }
  await using watch = await ports.watch(behind, options.signal);
  const { snapshot, requestedMs } = await awaitBuilds({ ports, target, watch }, options);
  const requestMs = requestedMs - startMs - lookMs;
  const times = { lookMs, requestMs, buildMs: performance.now() - requestedMs };
  return { snapshot, builtCount: behind.length, times };
}

interface Waiting<Snapshot extends InstancesSnapshot> {
  readonly ports: FreshnessPorts<Snapshot>;
  readonly target: Target<Snapshot>;
  readonly watch: PartitionWatch;
}

interface Built<Snapshot> {
  readonly snapshot: Snapshot;
  /** When the first requests were on the bus, by `performance.now`. */
  readonly requestedMs: number;
}

async function awaitBuilds<Snapshot extends InstancesSnapshot>(
  { ports, target, watch }: Waiting<Snapshot>,
  { timeoutMs, signal, pollMs = POLL_MS }: FreshnessOptions,
): Promise<Built<Snapshot>> {
  const deadlineMs = performance.now() + timeoutMs;
  const failures = new Map<string, number>();
  let requestAtMs = 0;
  let requestedMs: number | undefined;
  let attempt = 0;
  for (;;) {
    const snapshot = await ports.loadSnapshot(signal, target.moment);
    const behind = target.behind(snapshot);
    if (behind.length === 0) {
      return { snapshot: target.restrict(snapshot), requestedMs: requestedMs ?? performance.now() };
    }
    const nowMs = performance.now();
    if (nowMs >= deadlineMs) throw timedOut(behind, timeoutMs);
    if (nowMs >= requestAtMs) {
      for (const instance of behind) {
        await ports.requestBuild({ ...target.requestOf(instance), attempt }, signal);
      }
      attempt += 1;
      requestAtMs = performance.now() + REQUEST_AGAIN_MS;
      requestedMs ??= performance.now();
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

/** The instances of the first look. Their blocks are not held: the moment tells which they were. */
class Target<Snapshot extends InstancesSnapshot> {
  readonly moment: LookMoment;
  readonly #ports: FreshnessPorts<Snapshot>;
  readonly #first: ReadonlyMap<string, LakeInstance>;

  constructor(ports: FreshnessPorts<Snapshot>, first: Snapshot) {
    this.moment = first.moment;
    this.#ports = ports;
    this.#first = new Map(first.instances.map((one) => [nameOf(one), one]));
  }

  requestOf({ viewSet, instance }: ViewInstance): Omit<BuildRequest, 'attempt'> {
    const first = this.#first.get(nameOf({ viewSet, instance }));
    const wanted = ensureExists(first, 'instance of the first look');
    const process = ensureExists(wanted.process, 'process of an instance that wants blocks');
    return { viewSet, instance, processId: process.processId, wanted };
  }

  behind(snapshot: Snapshot): ViewInstance[] {
    return this.restrict(snapshot)
      .instances.filter((one) => this.#isBehind(one))
      .map(({ viewSet, instance }) => ({ viewSet, instance }));
  }

  restrict(snapshot: Snapshot): Snapshot {
    const instances = snapshot.instances.filter((one) => this.#first.has(nameOf(one)));
    return { ...snapshot, instances };
  }

  #isBehind(one: LakeInstance): boolean {
    const wanted = this.#first.get(nameOf(one))?.known ?? 0;
    return wanted > 0 && !this.#ports.isComplete(one);
  }
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
