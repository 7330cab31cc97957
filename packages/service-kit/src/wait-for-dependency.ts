import { setTimeout as sleep } from 'node:timers/promises';
import { AppError } from '@tracelake/domain';
import type { Logger } from './logger.ts';

export interface DependencyWait {
  /** Named in the log, such as `postgres`. */
  readonly name: string;
  readonly logger: Logger;
  readonly signal: AbortSignal;
  /** After which the last error is thrown. Default one minute. */
  readonly timeoutMs?: number;
  /** Between two attempts. Default one second. */
  readonly intervalMs?: number;
}

/**
 * Does the first work with a dependency that may start later than the service: retryable AppErrors are tried
 * again until the timeout. Any other error is thrown at once, and so is the signal's reason.
 */
export async function waitForDependency<T>(
  work: (signal: AbortSignal) => Promise<T>,
  { name, logger, signal, timeoutMs = 60_000, intervalMs = 1000 }: DependencyWait,
): Promise<T> {
  const giveUpMs = performance.now() + timeoutMs;
  for (;;) {
    signal.throwIfAborted();
    try {
      return await work(signal);
    } catch (error) {
      const isTransient = error instanceof AppError && error.retryable;
      if (!isTransient || performance.now() + intervalMs > giveUpMs) throw error;
      logger.warn('waiting for a dependency', { dependency: name, error });
      await sleep(intervalMs, undefined, { signal });
    }
  }
}
