import type { ServerResponse } from 'node:http';

export interface ResponseEventWait {
  readonly response: ServerResponse;
  readonly event: 'drain' | 'finish';
  /** Its reason ends the wait. */
  readonly signal: AbortSignal;
  readonly stallTimeoutMs: number;
  /** What the wait ends with when the reader took nothing for that long. */
  readonly stalled: () => Error;
}

/**
 * Waits for an event of a response that `start` leads to, at most until the signal or the stall timeout; leaves
 * no listener and no timer behind.
 */
export function responseEvent(
  { response, event, signal, stallTimeoutMs, stalled }: ResponseEventWait,
  start: () => void,
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const onAbort = () => reject(signal.reason);
  const timer = setTimeout(() => reject(stalled()), stallTimeoutMs);
  response.once(event, resolve);
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) onAbort();
  start();
  return promise.finally(() => {
    clearTimeout(timer);
    response.off(event, resolve);
    signal.removeEventListener('abort', onAbort);
  });
}
