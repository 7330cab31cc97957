/** One build of an instance at a time: whoever else wants it waits and then finds it current. */

import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '@tracelake/service-kit';
import type { PartitionCatalog } from '@tracelake/storage';
import { MaterializerError } from '../materializer-error.ts';

export interface BuildClaimOptions {
  readonly catalog: PartitionCatalog;
  readonly viewSet: string;
  readonly instance: string;
  readonly ttlMs: number;
  readonly logger: Logger;
  /** Bounds the wait for another's claim, and the work. */
  readonly signal: AbortSignal;
}

const POLL_MS = 100;

/**
 * Waits for the claim and works under it. The work's signal fires when the claim is lost, because then
 * another may build the same; a commit would settle it, but the work would be for nothing.
 */
export async function withBuildClaim<T>(
  options: BuildClaimOptions,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const { catalog, viewSet, instance, ttlMs, signal } = options;
  const claim = { viewSet, instance, owner: randomUUID(), ttlMs };
  let claimedAtMs = performance.now();
  while (!(await catalog.tryClaim(claim, signal))) {
    await sleep(POLL_MS * (0.5 + Math.random()), undefined, { signal });
    claimedAtMs = performance.now();
  }
  const lost = new AbortController();
  const renewal = setInterval(() => void renew(), ttlMs / 3);
  const renew = async () => {
    const askedMs = performance.now();
    try {
      if (await catalog.renewClaim(claim, signal)) claimedAtMs = askedMs;
      else lost.abort(claimLost(options));
    } catch (error) {
      // An outage shorter than the claim costs nothing.
      if (performance.now() - claimedAtMs > ttlMs) lost.abort(claimLost(options, error));
    }
  };
  const workSignal = AbortSignal.any([signal, lost.signal]);
  try {
    return await work(workSignal);
  } catch (error) {
    // Each stage words an abort in its own way; the caller gets the reason.
    workSignal.throwIfAborted();
    throw error;
  } finally {
    clearInterval(renewal);
    // Without this the next one would wait for the claim to expire.
    await catalog.releaseClaim(claim).catch((error) => {
      options.logger.warn('a build claim is left to expire', { viewSet, instance, error });
    });
  }
}

function claimLost({ viewSet, instance }: BuildClaimOptions, cause?: unknown): MaterializerError {
  return new MaterializerError('materializer.claim-timeout', 'the claim on the build expired', {
    cause,
    retryable: true,
    details: { viewSet, instance },
  });
}
