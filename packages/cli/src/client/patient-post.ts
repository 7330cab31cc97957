import { once } from 'node:events';
import http, { type IncomingMessage } from 'node:http';
import https from 'node:https';
import { text } from 'node:stream/consumers';
import { CliError } from '../cli-error.ts';
import { refusal, unreachable } from './http-call.ts';
import type { Connection, ServiceName } from './service-endpoints.ts';

export interface PatientPost {
  readonly service: ServiceName;
  /** Path and query, from the leading slash. */
  readonly path: string;
  readonly signal: AbortSignal;
}

const keepAliveMs = 30_000;

/**
 * Posts and waits for the JSON answer as long as the signal lets it: a build may take longer than the five minutes
 * after which fetch gives up. Throws CliError.
 */
export async function postPatiently(connection: Connection, call: PatientPost): Promise<unknown> {
  const url = `${connection.urls[call.service]}${call.path}`;
  const response = await post(url, connection.apiKey, call);
  if (!response.ok) throw await refusal(url, response);
  try {
    return await response.json();
  } catch (cause) {
    throw new CliError('cli.bad-answer', `${url} did not answer with JSON`, { cause });
  }
}

async function post(
  url: string,
  apiKey: string | undefined,
  { service, signal }: PatientPost,
): Promise<Response> {
  const headers = apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` };
  const { request } = url.startsWith('https:') ? https : http;
  try {
    const sent = request(url, { method: 'POST', headers, signal });
    // What lies between may forget a connection on which nothing is sent.
    sent.setSocketKeepAlive(true, keepAliveMs);
    const answered = once(sent, 'response') as Promise<[IncomingMessage]>;
    sent.end();
    const [answer] = await answered;
    return new Response(await text(answer), { status: answer.statusCode ?? 500 });
  } catch (cause) {
    signal.throwIfAborted();
    throw unreachable(url, service, cause);
  }
}
