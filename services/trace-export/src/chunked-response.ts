/**
 * Chunks from the channel to an HTTP body. The body takes a chunk only when the socket took the one before,
 * so that what a slow reader leaves waits in the channel and stops the generator. A failure destroys the
 * socket: a body that ends is a whole trace.
 */

import type { ServerResponse } from 'node:http';
import type { BoundedChannel } from '@tracelake/channels';
import type { Chunk } from '@tracelake/lakehouse';
import { responseEvent } from '@tracelake/service-kit';
import type { BodyEncoder } from './arrow-encoding.ts';
import { ExportError } from './export-error.ts';

export interface ChunkedResponseOptions {
  readonly response: ServerResponse;
  readonly channel: BoundedChannel<Chunk>;
  readonly encoder: BodyEncoder;
  /** Asked for once the first chunk is there. */
  readonly headers: () => Readonly<Record<string, string>>;
  /** After which a reader that takes nothing is given up. */
  readonly stallTimeoutMs: number;
  /** Fires when the client is gone or the work is given up. */
  readonly signal: AbortSignal;
  /** Told before the first byte: from here on the answer cannot be a problem document. */
  readonly onHead: () => void;
  /** Told of what was sent, whole or not. */
  readonly onSent?: (sent: SentBody) => void;
}

export interface SentBody {
  readonly chunkCount: number;
  readonly byteCount: number;
}

/** Sends everything the channel gives. Errors: the channel's, the signal's reason, `trace-export.client-stalled`. */
export async function sendChunks(options: ChunkedResponseOptions): Promise<SentBody> {
  const { response, channel, encoder, signal } = options;
  let received = await channel.receive(signal);
  options.onHead();
  response.writeHead(200, { ...options.headers() });
  const sent = { chunkCount: 0, byteCount: 0 };
  try {
    while (!received.done) {
      const bytes = encoder.encode(received.value);
      sent.chunkCount += 1;
      sent.byteCount += bytes.length;
      if (!response.write(bytes)) await drained(options);
      received = await channel.receive(signal);
    }
    const ending = encoder.end();
    sent.byteCount += ending.length;
    if (ending.length > 0) response.write(ending);
    await ended(options);
    return sent;
  } finally {
    options.onSent?.(sent);
  }
}

function drained(options: ChunkedResponseOptions): Promise<void> {
  return happened(options, 'drain', () => {});
}

function ended(options: ChunkedResponseOptions): Promise<void> {
  return happened(options, 'finish', () => options.response.end());
}

/** Waits for an event of the response, at most until the signal or the stall timeout. */
function happened(
  { response, signal, stallTimeoutMs }: ChunkedResponseOptions,
  event: 'drain' | 'finish',
  start: () => void,
): Promise<void> {
  const stalled = () => new ExportError('trace-export.client-stalled', 'the reader takes nothing');
  return responseEvent({ response, event, signal, stallTimeoutMs, stalled }, start);
}
