/** Calls to the services: one place that turns their answers and silences into CliErrors. */
import { CliError } from '../cli-error.ts';
import type { Connection, ServiceName } from './service-endpoints.ts';

export interface HttpCall {
  readonly service: ServiceName;
  readonly method?: 'GET' | 'POST';
  /** Path and query, from the leading slash. */
  readonly path: string;
  readonly accept?: string;
  /** The body, JSON text. */
  readonly json?: string;
  readonly signal: AbortSignal;
}

/** Sends a call and returns its answer when that is a success; the body is still to be read. */
export async function callService(connection: Connection, call: HttpCall): Promise<Response> {
  const url = `${connection.urls[call.service]}${call.path}`;
  const response = await fetchOrExplain(url, call, connection.apiKey);
  if (response.ok) return response;
  throw await refusal(url, response);
}

/** Like callService, for JSON answers; the shape is for the caller to check. */
export async function callForJson(connection: Connection, call: HttpCall): Promise<unknown> {
  const response = await callService(connection, call);
  const text = await response.text();
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new CliError('cli.bad-answer', `${response.url} did not answer with JSON`, { cause });
  }
}

async function fetchOrExplain(
  url: string,
  call: HttpCall,
  apiKey: string | undefined,
): Promise<Response> {
  const headers: Record<string, string> = {};
  if (apiKey !== undefined) headers.authorization = `Bearer ${apiKey}`;
  if (call.accept !== undefined) headers.accept = call.accept;
  if (call.json !== undefined) headers['content-type'] = 'application/json';
  try {
    return await fetch(url, {
      method: call.method ?? 'GET',
      headers,
      body: call.json ?? null,
      signal: call.signal,
    });
  } catch (cause) {
    if (call.signal.aborted) throw cause;
    throw unreachable(url, call.service, cause);
  }
}

/** Names the service that does not answer, with the usual reason and what to do. */
export function unreachable(url: string, service: ServiceName, cause: unknown): CliError {
  return new CliError(
    'cli.unreachable',
    `no answer from ${service} at ${new URL(url).origin} (${networkReason(cause)}); ` +
      'is the stack running? Start it with "npm start", look with "npx tracelake doctor", ' +
      'or name another one with --url',
    { cause, retryable: true },
  );
}

/** fetch hides the reason one level down. */
export function networkReason(error: unknown): string {
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
  if (cause instanceof AggregateError && cause.errors.length > 0) {
    return networkReason(cause.errors[0]);
  }
  if (!(cause instanceof Error)) return String(cause);
  const { code } = cause as NodeJS.ErrnoException;
  return cause.message === '' ? (code ?? cause.name) : cause.message;
}

interface ProblemDocument {
  readonly title?: unknown;
  readonly detail?: unknown;
}

/** A refusal with what its problem document says. */
export async function refusal(url: string, response: Response): Promise<CliError> {
  const text = await response.text().catch(() => '');
  const hint =
    response.status === 401 || response.status === 403
      ? '; give a key with --api-key or TRACELAKE_API_KEY'
      : '';
  return new CliError(
    response.status === 404 ? 'cli.not-found' : 'cli.refused',
    `${describeProblem(text) ?? 'refused'} (status ${response.status} from ${new URL(url).origin})${hint}`,
    { retryable: response.status === 503 },
  );
}

/** The human part of a problem document, or undefined when the text is none. */
function describeProblem(text: string): string | undefined {
  let parsed: ProblemDocument | null;
  try {
    parsed = JSON.parse(text) as ProblemDocument | null;
  } catch {
    return undefined;
  }
  const title = typeof parsed?.title === 'string' ? parsed.title : undefined;
  const detail = typeof parsed?.detail === 'string' ? parsed.detail : undefined;
  if (title === undefined || detail === undefined) return detail ?? title;
  return `${title}: ${detail}`;
}
