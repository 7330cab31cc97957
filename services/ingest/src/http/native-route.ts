/** What the three native routes have in common: any content type, a bounded body, a deadline, an empty 200. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { IngestError } from '../ingest-error.ts';
import { type BodyLimits, type ReceivedBody, receiveBody } from './request-body.ts';

export interface NativeRouteOptions extends BodyLimits {
  /** How long the store and the database may take over one request. */
  readonly writeTimeoutMs: number;
}

/** Makes the content of one body durable, or throws. */
export type NativeHandler = (body: Uint8Array, signal: AbortSignal) => Promise<void>;

export function registerNativeBodies(app: FastifyInstance, limits: BodyLimits): void {
  // fastify answers 415 to a malformed content type before any parser runs; the protocol ignores it.
  app.addHook('onRequest', async (request) => {
    delete request.raw.headers['content-type'];
  });
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', (request: FastifyRequest) => receiveBody(request.raw, limits));
}

export function toRouteHandler(handle: NativeHandler, options: NativeRouteOptions) {
  return async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
    // Without content-length and transfer-encoding there is no body, and no parser has run.
    using body = request.body as ReceivedBody | undefined;
    await withDeadline(options.writeTimeoutMs, (signal) =>
      handle(body?.bytes ?? new Uint8Array(0), signal),
    );
    body?.recycle();
    return reply.code(200).send();
  };
}

async function withDeadline(
  timeoutMs: number,
  work: (signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const abort = new AbortController();
  const timer = setTimeout(() => {
    const message = `the store and the database took longer than ${timeoutMs} ms`;
    abort.abort(new IngestError('ingest.write-timeout', message, { retryable: true }));
  }, timeoutMs);
  try {
    await work(abort.signal);
  } finally {
    clearTimeout(timer);
  }
}
