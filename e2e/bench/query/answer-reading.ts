/** A client that costs little beside what it measures: sockets' chunks as they come, on a connection that stays. */

import { once } from 'node:events';
import { Agent, type IncomingMessage, request } from 'node:http';

export interface ReadAnswer {
  /** From the request to the last byte. */
  readonly ms: number;
  /** `Server-Timing`. */
  readonly timing: string;
  readonly chunks: readonly Buffer[];
}

const agent = new Agent({ keepAlive: true });

/** The whole answer as CSV. Throws with the service's words when it refuses. */
export async function readAnswer(baseUrl: string, sql: string): Promise<ReadAnswer> {
  const startedMs = performance.now();
  const asked = request(`${baseUrl}/v1/query`, {
    agent,
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'text/csv' },
  });
  asked.end(JSON.stringify({ sql }));
  const [response] = (await once(asked, 'response')) as [IncomingMessage];
  const chunks: Buffer[] = [];
  response.on('data', (chunk: Buffer) => chunks.push(chunk));
  await once(response, 'end');
  const ms = performance.now() - startedMs;
  if (response.statusCode !== 200) {
    throw new Error(`${sql}: ${response.statusCode} ${Buffer.concat(chunks)}`);
  }
  return { ms, timing: String(response.headers['server-timing'] ?? ''), chunks };
}
