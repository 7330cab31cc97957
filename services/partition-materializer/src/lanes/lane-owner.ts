/**
 * Holds this replica's share of the lanes. A lane's pipeline runs only while its lease is certain: it is
 * renewed at a third of its time, and given up locally before it can expire in Postgres.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '@tracelake/service-kit';
import type { LaneLease, LaneLeaseRepository } from '@tracelake/storage';
import { decideLaneShares } from './lane-shares.ts';

export interface LaneOwnerOptions {
  readonly repository: Pick<LaneLeaseRepository, 'acquire' | 'renew' | 'release' | 'list'>;
  readonly laneCount: number;
  /** This replica, different for each process that ever runs. */
  readonly owner: string;
  readonly leaseMs: number;
  /**
   * Starts a lane's pipeline. Disposing of it stops pulling and waits for what is under way; `signal`
   * fires when the lease is lost, and then work must stop at once.
   */
  readonly startLane: (lane: number, signal: AbortSignal) => AsyncDisposable;
  readonly logger: Logger;
  readonly onHeldChange?: (held: number) => void;
}

interface HeldLane {
  readonly lane: number;
  readonly fencingNumber: bigint;
  readonly pipeline: AsyncDisposable | undefined;
  readonly lost: AbortController;
  /** Monotonic time up to which the lease is certain. */
  certainUntilMs: number;
  isLeaving: boolean;
}

/**
 * Lease rows from this number on say that a replica is alive, whether or not it has a lane: without them
 * nobody would make room for a newcomer.
 */
const PRESENCE_LANE = 1_000_000;
const PRESENCE_SLOTS = 1024;

/** Runs until disposed; disposing drains every lane and gives all leases back. */
export class LaneOwner implements AsyncDisposable {
  readonly #options: LaneOwnerOptions;
  readonly #held = new Map<number, HeldLane>();
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;
  readonly #leaving = new Set<Promise<void>>();
  #presence: HeldLane | undefined;

  constructor(options: LaneOwnerOptions) {
    this.#options = options;
    this.#running = this.#run();
  }

  get heldLanes(): number[] {
    return [...this.#held.keys()].sort((first, second) => first - second);
  }

  async #run(): Promise<void> {
    const watch = setInterval(() => this.#dropUncertain(), this.#options.leaseMs / 20);
    watch.unref();
    while (!this.#stop.signal.aborted) {
      try {
        await this.#tick();
      } catch (error) {
        if (this.#stop.signal.aborted) break;
        this.#options.logger.warn('lane leases cannot be renewed', { error });
      }
      // A jitter keeps replicas that start together from asking at the same moment for ever.
      const pauseMs = (this.#options.leaseMs / 3) * (0.8 + Math.random() * 0.2);
      await sleep(pauseMs, undefined, { signal: this.#stop.signal }).catch(() => {});
    }
    clearInterval(watch);
  }

  async #tick(): Promise<void> {
    this.#presence = await this.#announcePresence();
    for (const held of [...this.#held.values()]) {
      if (!(await this.#renew(held))) this.#lose(held, 'the lease has passed to another');
    }
    const leases = (await this.#options.repository.list(this.#stop.signal)).filter(
      (lease) => !lease.isExpired,
    );
    const decision = decideLaneShares({
      laneCount: this.#options.laneCount,
      leases: leases.filter((lease) => lease.lane < PRESENCE_LANE),
      replicas: leases.map((lease) => lease.owner),
      self: this.#options.owner,
    });
    for (const lane of decision.release) this.#track(this.#giveUp(lane));
    for (const lane of decision.acquire) await this.#acquire(lane);
  }

  /** Keeps or takes the first presence row that is free. */
  async #announcePresence(): Promise<HeldLane | undefined> {
    if (this.#presence !== undefined && (await this.#renew(this.#presence))) return this.#presence;
    const leases = await this.#options.repository.list(this.#stop.signal);
    const taken = new Set(leases.filter(isAlive).map((lease) => lease.lane));
    for (let slot = PRESENCE_LANE; slot < PRESENCE_LANE + PRESENCE_SLOTS; slot++) {
      if (taken.has(slot)) continue;
      const held = await this.#take(slot, () => undefined);
      if (held !== undefined) return held;
    }
    return undefined;
  }

  async #acquire(lane: number): Promise<void> {
    if (this.#held.has(lane)) return;
    const held = await this.#take(lane, (lost) => this.#options.startLane(lane, lost));
    if (held === undefined) return;
    this.#held.set(lane, held);
    this.#options.onHeldChange?.(this.#held.size);
    const { fencingNumber } = held;
    this.#options.logger.info('lane taken', { lane, fencingNumber: String(fencingNumber) });
  }

  async #take(
    lane: number,
    start: (lost: AbortSignal) => AsyncDisposable | undefined,
  ): Promise<HeldLane | undefined> {
    const { repository, owner, leaseMs } = this.#options;
    const askedMs = performance.now();
    const request = { lane, owner, ttlMs: leaseMs };
    const fencingNumber = await repository.acquire(request, this.#stop.signal);
    if (fencingNumber === undefined) return undefined;
    const lost = new AbortController();
    const certainUntilMs = askedMs + leaseMs;
    return {
      lane,
      fencingNumber,
      lost,
      certainUntilMs,
      isLeaving: false,
      pipeline: start(lost.signal),
    };
  }

  async #renew(held: HeldLane): Promise<boolean> {
    const { repository, owner, leaseMs } = this.#options;
    const askedMs = performance.now();
    const { lane, fencingNumber } = held;
    const request = { lane, owner, fencingNumber, ttlMs: leaseMs };
    const isRenewed = await repository.renew(request, this.#stop.signal);
    if (isRenewed) held.certainUntilMs = askedMs + leaseMs;
    return isRenewed;
  }

  /** Postgres may be out of reach: the lease's time runs all the same. */
  #dropUncertain(): void {
    const marginMs = this.#options.leaseMs / 10;
    for (const held of this.#held.values()) {
      if (performance.now() < held.certainUntilMs - marginMs) continue;
      this.#lose(held, 'the lease could not be renewed in time');
    }
  }

  #lose(held: HeldLane, reason: string): void {
    if (!this.#held.delete(held.lane)) return;
    this.#options.onHeldChange?.(this.#held.size);
    this.#options.logger.warn('lane lost', { lane: held.lane, reason });
    held.lost.abort(new Error(`lane ${held.lane} lost: ${reason}`));
    this.#track(this.#close(held));
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
    await repository.release({ lane, owner });
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
      await held.pipeline?.[Symbol.asyncDispose]();
    } catch (error) {
      this.#options.logger.error('a lane failed while it stopped', { lane: held.lane, error });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Error('the lane owner stops'));
    await this.#running;
    for (const lane of this.#held.keys()) this.#track(this.#giveUp(lane));
    await Promise.all(this.#leaving);
    if (this.#presence === undefined) return;
    const { repository, owner } = this.#options;
    await repository.release({ lane: this.#presence.lane, owner }).catch(() => {});
  }
}

function isAlive(lease: LaneLease): boolean {
  return !lease.isExpired;
}
