/** What a client of the system does: post telemetry until it is acknowledged, export, read metrics. */

import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

export interface TelemetryRequest {
  readonly path: string;
  readonly body: Uint8Array;
}

export interface ExportedTrace {
  readonly bytes: Uint8Array;
  readonly sha256: string;
  readonly headers: Headers;
}

/** Posts one request; sends it again while the service is away or overloaded, as real clients do. */
export async function postUntilAcknowledged(
  baseUrl: string,
  request: TelemetryRequest,
  timeoutMs = 60_000,
): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  let last = 'never sent';
  while (Date.now() < deadline) {
    const outcome = await post(baseUrl, request);
    if (outcome.status === 200) return;
    last = `${outcome.status} ${outcome.text}`;
    if (outcome.status >= 400 && outcome.status < 500) break;
    await sleep(100);
  }
  throw new Error(`POST ${request.path} was not acknowledged: ${last}`);
}

/** Posts in order, one after the other. */
export async function replay(
  baseUrl: string,
  requests: readonly TelemetryRequest[],
): Promise<void> {
  for (const request of requests) await postUntilAcknowledged(baseUrl, request);
}

export async function exportTrace(
  baseUrl: string,
  processId: string,
  query = 'spans=both',
): Promise<ExportedTrace> {
  const response = await fetch(`${baseUrl}/v1/processes/${processId}/trace?${query}`, {
    signal: AbortSignal.timeout(150_000),
  });
  if (!response.ok) throw new Error(`export: ${response.status} ${await response.text()}`);
  const bytes = new Uint8Array(await response.arrayBuffer());
  return {
    bytes,
    sha256: createHash('sha256').update(bytes).digest('hex'),
    headers: response.headers,
  };
}

/** Exports until it works, for services that are on their way back. */
export async function exportEventually(
  baseUrl: string,
  processId: string,
  timeoutMs = 90_000,
): Promise<ExportedTrace> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    try {
      return await exportTrace(baseUrl, processId);
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await sleep(250);
    }
  }
}

/** The sum of a metric's samples whose labels contain every given pair; 0 when there is none. */
export async function readMetric(
  baseUrl: string,
  name: string,
  labels: Readonly<Record<string, string>> = {},
): Promise<number> {
  const response = await fetch(`${baseUrl}/metrics`);
  const wanted = Object.entries(labels).map(([key, value]) => `${key}="${value}"`);
  let sum = 0;
  for (const line of (await response.text()).split('\n')) {
    const match = /^([a-zA-Z_:]+)(\{[^}]*\})? (\S+)$/.exec(line);
    if (match === null || match[1] !== name) continue;
    if (wanted.every((pair) => (match[2] ?? '').includes(pair))) sum += Number(match[3]);
  }
  return sum;
}

/** Polls until the check gives a value, with the reason it last failed in the error. */
export async function eventually<T>(
  check: () => Promise<T | undefined>,
  what: string,
  timeoutMs: number,
): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  let cause: unknown;
  while (Date.now() < deadline) {
    try {
      const value = await check();
      if (value !== undefined) return value;
    } catch (error) {
      cause = error;
    }
    await sleep(200);
  }
  throw new Error(`${what} did not happen within ${timeoutMs} ms`, { cause });
}

async function post(baseUrl: string, request: TelemetryRequest) {
  try {
    const response = await fetch(`${baseUrl}${request.path}`, {
      method: 'POST',
      body: new Uint8Array(request.body),
      signal: AbortSignal.timeout(10_000),
    });
    return { status: response.status, text: await response.text() };
  } catch (error) {
    return { status: 0, text: String(error) };
  }
}
