import { setTimeout as delay } from 'node:timers/promises';

const firstPauseMs = 250;
const pauseMaxMs = 10_000;
const calmMs = 30_000;

/** Growing pauses between restarts of something that keeps ending; a calm half minute starts anew. */
export class Backoff {
  #failureCount = 0;
  #startedAtMs = 0;

  /** Ends in a row, each soon after its start. */
  get failureCount(): number {
    return this.#failureCount;
  }

  noteStart(nowMs: number): void {
    this.#startedAtMs = nowMs;
  }

  /** The pause before the next start, given that the last one has just ended. */
  noteEnd(nowMs: number): number {
    if (nowMs - this.#startedAtMs > calmMs) this.#failureCount = 0;
    this.#failureCount += 1;
    return Math.min(firstPauseMs * 2 ** (this.#failureCount - 1), pauseMaxMs);
  }
}

/** Waits, unless the signal ends it first; never throws. */
export async function pause(durationMs: number, signal: AbortSignal): Promise<void> {
  await delay(durationMs, undefined, { signal }).catch(() => {});
}
