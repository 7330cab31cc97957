/** The only place where what a build threw becomes an answer to the bus. */

import { AppError, errorMessage } from '@tracelake/domain';

export type DeliveryOutcome =
  | 'ack'
  | { readonly nakDelayMs: number }
  | { readonly deadLetter: string };

const RETRY_DELAYS_MS = [500, 1000, 2000, 5000, 10_000];

/**
 * `deliveryCount` starts at 1. What time may mend is delivered again, later each time; what can never
 * succeed is put aside at once; an unknown error is tried again, since the deliveries are counted.
 */
export function outcomeOfFailure(error: unknown, deliveryCount: number): DeliveryOutcome {
  if (isPermanent(error)) return { deadLetter: reasonOf(error) };
  const step = Math.min(Math.max(deliveryCount, 1), RETRY_DELAYS_MS.length) - 1;
  return { nakDelayMs: RETRY_DELAYS_MS[step] ?? 10_000 };
}

/** Whether asking again can never help: the waiter is told so. */
export function isPermanent(error: unknown): boolean {
  return error instanceof AppError && PERMANENT_CODES.has(error.code);
}

/** Code and text for the waiter and for the dead-letter subject. */
function reasonOf(error: unknown): string {
  return error instanceof AppError ? `${error.code}: ${error.message}` : errorMessage(error);
}

const PERMANENT_CODES: ReadonlySet<string> = new Set([
  'lakehouse.unknown-view',
  'lakehouse.bad-instance',
  'materializer.unknown-instance',
  'materializer.view-not-loaded',
]);
