/**
 * Holds this replica's share of the lanes. A lease is renewed at a third of its time, and its lane is given up
 * locally before it can expire in Postgres, so that two replicas do not work on one lane. A replica that was paused
 * past that asks Postgres before it drops anything: what nobody took is still its own. Until the answer is there,
 * and whatever else goes wrong, the fencing number keeps a former owner from committing.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '@tracelake/service-kit';
import type { LaneFence, LaneLeaseRepository } from '@tracelake/storage';
import { decideLaneShares } from './lane-shares.ts';

/** A lane that this replica has, for as long as `lost` has not fired. */
export interface LaneHold extends LaneFence {
  readonly lost: AbortSignal;
}

export interface LaneOwnerOptions {
  readonly repository: Pick<
    LaneLeaseRepository,
    'acquire' | 'renew' | 'release' | 'list' | 'announceReplica' | 'listReplicas' | 'removeReplica'
  >;
  readonly laneCount: number;
  /** This replica, different for each process that ever runs. */
  readonly owner: string;
  readonly leaseMs: number;
  /**
   * Starts a lane's pipeline. Disposing of it stops pulling and waits for what is under way; when `lost` fires, work
   * must stop at once.
   */
  readonly startLane: (hold: LaneHold) => AsyncDisposable;
  readonly logger: Logger;
  readonly onHeldChange?: (held: number) => void;
}

interface HeldLane extends LaneFence {
  readonly pipeline: AsyncDisposable;
  readonly lost: AbortController;
  /** Monotonic time up to which the lease is certain. */
  certainUntilMs: number;
  isLeaving: boolean;
}

/** Runs until disposed; disposing drains every lane and gives all leases back. */
export class LaneOwner implements AsyncDisposable {
  readonly #options: LaneOwnerOptions;
  readonly #held = new Map<number, HeldLane>();
  /** Lanes that are lost and whose pipelines have not stopped yet. */
  readonly #stopping = new Set<number>();
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;
  readonly #leaving = new Set<Promise<void>>();
  #watchedAtMs = performance.now();
  /** After a pause of this process: until when Postgres is asked before a lane is dropped. */
  #doubtUntilMs = 0;
  #wake = new AbortController();

  constructor(options: LaneOwnerOptions) {
    this.#options = options;
    this.#running = this.#run();
  }

  get heldLanes(): number[] {
    return [...this.#held.keys()].sort((first, second) => first - second);
  }

  async #run(): Promise<void> {
    const watch = setInterval(() => this.#watch(), this.#options.leaseMs / 20);
    watch.unref();
    while (!this.#stop.signal.aborted) {
      this.#wake = new AbortController();
      try {
        await this.#tick();
      } catch (error) {
        if (this.#stop.signal.aborted) break;
        this.#options.logger.warn('lane leases cannot be renewed', { error });
      }
      // A jitter keeps replicas that start together from asking at the same moment for ever.
      const pauseMs = (this.#options.leaseMs / 3) * (0.8 + Math.random() * 0.2);
      const signal = AbortSignal.any([this.#stop.signal, this.#wake.signal]);
      await sleep(pauseMs, undefined, { signal }).catch(() => {});
    }
    clearInterval(watch);
  }

  async #tick(): Promise<void> {
    const { laneCount, leaseMs, owner, repository } = this.#options;
    const { signal } = this.#stop;
    await repository.announceReplica({ owner, ttlMs: leaseMs }, signal);
    await this.#renew();
    const leases = (await repository.list(signal)).filter((lease) => !lease.isExpired);
    const decision = decideLaneShares({
      laneCount,
      leases: leases.filter((lease) => lease.lane < laneCount),
      // Owners of leases beyond the lanes are replicas of the version before, which say so that they are alive.
      replicas: [...(await repository.listReplicas(signal)), ...leases.map((lease) => lease.owner)],
      self: owner,
    });
    for (const lane of decision.release) this.#track(this.#giveUp(lane));
    for (const lane of decision.acquire) await this.#acquire(lane);
  }

  async #renew(): Promise<void> {
    const { leaseMs, owner, repository } = this.#options;
    const held = [...this.#held.values()];
    if (held.length === 0) return;
    const askedMs = performance.now();
    const request = { owner, ttlMs: leaseMs, held };
    const renewed = await repository.renew(request, this.#stop.signal);
    for (const lane of held) {
      if (renewed.has(lane.lane)) lane.certainUntilMs = askedMs + leaseMs;
      else this.#lose(lane, 'the lease has passed to another');
    }
  }

  async #acquire(lane: number): Promise<void> {
    if (this.#held.has(lane) || this.#stopping.has(lane)) return;
    const { logger, repository, owner, leaseMs, startLane } = this.#options;
    const askedMs = performance.now();
    const request = { lane, owner, ttlMs: leaseMs };
    const fencingNumber = await repository.acquire(request, this.#stop.signal);
    if (fencingNumber === undefined) return;
    const lost = new AbortController();
    let pipeline: AsyncDisposable;
    try {
      pipeline = startLane({ lane, fencingNumber, lost: lost.signal });
    } catch (error) {
      await repository.release({ lane, owner, fencingNumber });
      throw error;
    }
    const certainUntilMs = askedMs + leaseMs;
    const held = { lane, fencingNumber, pipeline, lost, certainUntilMs, isLeaving: false };
    this.#held.set(lane, held);
    this.#options.onHeldChange?.(this.#held.size);
    logger.info('lane taken', { lane, fencingNumber: String(fencingNumber) });
  }

  /** Postgres may be out of reach, or this process may not have run: a lease's time runs all the same. */
  #watch(): void {
    const { leaseMs, logger } = this.#options;
    const marginMs = leaseMs / 10;
    const nowMs = performance.now();
    const pausedMs = nowMs - this.#watchedAtMs;
    this.#watchedAtMs = nowMs;
    if (pausedMs > leaseMs / 3) {
      logger.warn('the process was paused, so lane leases are renewed now', { pausedMs });
      this.#doubtUntilMs = nowMs + leaseMs / 2;
      this.#wake.abort();
    }
    for (const held of this.#held.values()) {
      if (nowMs < Math.max(held.certainUntilMs - marginMs, this.#doubtUntilMs)) continue;
      this.#lose(held, 'the lease could not be renewed in time');
    }
  }

  #lose(held: HeldLane, reason: string): void {
    if (!this.#held.delete(held.lane)) return;
    this.#options.onHeldChange?.(this.#held.size);
    this.#options.logger.warn('lane lost', { lane: held.lane, reason });
    held.lost.abort(new Error(`lane ${held.lane} lost: ${reason}`));
    this.#stopping.add(held.lane);
    this.#track(this.#close(held).finally(() => this.#stopping.delete(held.lane)));
  }

  async #giveUp(lane: number): Promise<void> {
    const held = this.#held.get(lane);
    if (held === undefined || held.isLeaving) return;
    held.isLeaving = true;
    // It stays in the list while it drains, so that its lease goes on being renewed.
    await this.#close(held);
    if (!this.#held.delete(lane)) return;
    this.#options.onHeldChange?.(this.#held.size);
    const { repository, owner } = this.#options;
    await repository.release({ lane, owner, fencingNumber: held.fencingNumber });
    this.#options.logger.info('lane given up', { lane });
  }

  /** Work that goes on beside the renewals; disposing waits for it. */
  #track(work: Promise<void>): void {
    const tracked = work
      .catch((error) => this.#options.logger.warn('a lane could not be given back', { error }))
      .finally(() => this.#leaving.delete(tracked));
    this.#leaving.add(tracked);
  }

  async #close(held: HeldLane): Promise<void> {
    try {
      await held.pipeline[Symbol.asyncDispose]();
    } catch (error) {
      this.#options.logger.error('a lane failed while it stopped', { lane: held.lane, error });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Error('the lane owner stops'));
    await this.#running;
    const { logger, owner, repository } = this.#options;
    // First, so that the others count on the lanes that come free.
    await repository.removeReplica(owner).catch((error) => {
      logger.warn('this replica is left to expire', { error });
    });
    for (const lane of this.#held.keys()) this.#track(this.#giveUp(lane));
    await Promise.all(this.#leaving);
  }
}
