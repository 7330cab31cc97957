/**
 * The engine's bytes to an HTTP body, each chunk once the socket took the one before: what a slow reader leaves
 * waits in the engine's pipe and stops it. A failure cuts the connection: an answer that ends is whole.
 */

import type { ServerResponse } from 'node:http';
import { freeOwnMemory } from '@tracelake/domain';
import { responseEvent } from '@tracelake/service-kit';
import { QueryError } from '../query-error.ts';

export interface StreamedAnswer {
  readonly response: ServerResponse;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: AsyncIterable<Uint8Array>;
  /** Put around the body's bytes. */
  readonly before?: string;
  readonly after?: string;
  /** After which a reader that takes nothing is given up. */
  readonly stallTimeoutMs: number;
  readonly signal: AbortSignal;
}

/** Returns the bytes sent. Errors: the body's, the signal's reason, `query.client-stalled`. */
export async function sendAnswer(answer: StreamedAnswer): Promise<number> {
  const { response, body, before, after, signal } = answer;
  response.writeHead(200, { ...answer.headers });
  let byteCount = 0;
  const send = async (bytes: Uint8Array | string) => {
    // By now the socket has mostly taken what was written before this piece came.
    if (response.writableNeedDrain) await happened(answer, 'drain', () => {});
    signal.throwIfAborted();
    byteCount += Buffer.byteLength(bytes);
    const onTaken = (error?: Error | null) => {
      if (!error && typeof bytes !== 'string') freeOwnMemory(bytes);
    };
    response.write(bytes, onTaken);
  };
  if (before !== undefined) await send(before);
  for await (const chunk of body) await send(chunk);
  if (after !== undefined) await send(after);
  await happened(answer, 'finish', () => response.end());
  return byteCount;
}

/** A last line for a reader of lines, before the connection is cut. */
export async function sendErrorLine(response: ServerResponse, error: object): Promise<void> {
  if (response.destroyed || !response.writable) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ERROR_LINE_TIMEOUT_MS);
  // Begins with a line end, because the line before may have been cut.
  response.write(`\n${JSON.stringify({ error })}\n`, () => resolve());
  await promise;
  clearTimeout(timer);
}

const ERROR_LINE_TIMEOUT_MS = 1000;

/** Waits for an event of the response, at most until the signal or the stall timeout. */
function happened(
  { response, signal, stallTimeoutMs }: StreamedAnswer,
  event: 'drain' | 'finish',
  start: () => void,
): Promise<void> {
  const stalled = () => new QueryError('query.client-stalled', 'the reader takes nothing');
  return responseEvent({ response, event, signal, stallTimeoutMs, stalled }, start);
}
