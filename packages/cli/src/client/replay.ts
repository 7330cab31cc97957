import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { CliError } from '../cli-error.ts';
import { refusal, unreachable } from './http-call.ts';
import type { RecordedRequest } from './recording.ts';
import type { Connection } from './service-endpoints.ts';

export interface ReplayOptions {
  readonly connection: Connection;
  readonly requests: readonly RecordedRequest[];
  readonly signal: AbortSignal;
  /** How long one request is tried while ingest is overloaded or away. */
  readonly patienceMs: number;
  readonly onSent?: (sentCount: number, sentBytes: number) => void;
}

export interface ReplayResult {
  readonly requestCount: number;
  readonly sentBytes: number;
  /** Attempts that had to be made again. */
  readonly retryCount: number;
}

const retryDelayMaxMs = 5000;

/**
 * Posts the requests one after the other, as a client would: an overloaded or absent ingest is tried
 * again with growing pauses, anything else that is refused stops the replay and names the request.
 */
export async function replayRequests(options: ReplayOptions): Promise<ReplayResult> {
  let sentBytes = 0;
  let retryCount = 0;
  for (const [index, request] of options.requests.entries()) {
    const body = await readFile(request.file);
    retryCount += await postWithRetries(request, body, options);
    sentBytes += body.byteLength;
    options.onSent?.(index + 1, sentBytes);
  }
  return { requestCount: options.requests.length, sentBytes, retryCount };
}

async function postWithRetries(
  request: RecordedRequest,
  body: Uint8Array<ArrayBuffer>,
  options: ReplayOptions,
): Promise<number> {
  const deadlineMs = Date.now() + options.patienceMs;
  for (let attempt = 0; ; attempt += 1) {
    const failure = await post(request, body, options);
    if (failure === undefined) return attempt;
    const pauseMs = Math.min(failure.retryAfterMs ?? 100 * 2 ** attempt, retryDelayMaxMs);
    if (!failure.error.retryable || Date.now() + pauseMs > deadlineMs) throw failure.error;
    await delay(pauseMs, undefined, { signal: options.signal });
  }
}

interface PostFailure {
  readonly error: CliError;
  readonly retryAfterMs?: number;
}

async function post(
  request: RecordedRequest,
  body: Uint8Array<ArrayBuffer>,
  { connection, signal }: ReplayOptions,
): Promise<PostFailure | undefined> {
  const url = `${connection.urls.ingest}${request.path}`;
  const headers: Record<string, string> = { 'content-type': 'application/octet-stream' };
  if (connection.apiKey !== undefined) headers.authorization = `Bearer ${connection.apiKey}`;
  let response: Response;
  try {
    response = await fetch(url, { method: request.method, headers, body, signal });
  } catch (cause) {
    if (signal.aborted) throw cause;
    return { error: unreachable(url, 'ingest', cause) };
  }
  if (response.ok) {
    await response.arrayBuffer();
    return undefined;
  }
  const refused = await refusal(url, response);
  const error = new CliError(refused.code, `${request.file}: ${refused.message}`, {
    retryable: refused.retryable,
    cause: refused,
  });
  const retryAfterS = Number(response.headers.get('retry-after') ?? Number.NaN);
  return Number.isFinite(retryAfterS) ? { error, retryAfterMs: retryAfterS * 1000 } : { error };
}

/** The same list in an order that the seed alone decides (Fisher-Yates over a 32-bit generator). */
export function shuffled<T>(items: readonly T[], seed: number): T[] {
  const result = [...items];
  const random = mulberry32(seed);
  for (let last = result.length - 1; last > 0; last -= 1) {
    const other = Math.floor(random() * (last + 1));
    const moved = result[last] as T;
    result[last] = result[other] as T;
    result[other] = moved;
  }
  return result;
}

function mulberry32(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
