import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyInstance } from 'fastify';
import { PROBLEM_CONTENT_TYPE, type Problem, problem } from './problem.ts';
import { renderProblem } from './problem-reply.ts';

/** Which reply is open on a socket, so that nothing is ever written into the middle of one. */
export class OpenReplies {
  readonly #replies = new WeakMap<Socket, ServerResponse>();

  register(app: FastifyInstance): void {
    app.addHook('onRequest', async (request, reply) => {
      this.#replies.set(request.raw.socket, reply.raw);
    });
  }

  /** Whether a reply has begun on the socket and has not been handed over whole. */
  hasBegun(socket: Socket): boolean {
    const reply = this.#replies.get(socket);
    return reply?.headersSent === true && !reply.writableFinished;
  }
}

/** Answers what never became a request: malformed HTTP, oversized headers, a client too slow to send. */
export function createClientErrorHandler(openReplies: OpenReplies) {
  return (error: Error & { code?: string }, socket: Socket): void => {
    const isGone = error.code === 'ECONNRESET' || socket.destroyed || !socket.writable;
    if (isGone || openReplies.hasBegun(socket)) {
      socket.destroy();
      return;
    }
    const document = problemOfClientError(error.code);
    const body = renderProblem(document);
    socket.end(
      [
        `HTTP/1.1 ${document.status} ${document.title}`,
        `Content-Type: ${PROBLEM_CONTENT_TYPE}`,
        `Content-Length: ${Buffer.byteLength(body)}`,
        ...(document.status === 503 ? ['Retry-After: 1'] : []),
        'Connection: close',
        '',
        body,
      ].join('\r\n'),
    );
    // Without this, a client that never reads would keep the socket half open.
    socket.setTimeout(1000, () => socket.destroy());
  };
}

function problemOfClientError(code: string | undefined): Problem {
  if (code === 'HPE_HEADER_OVERFLOW') {
    const detail = 'the request headers are larger than this server takes (16 KiB)';
    return problem({ code: 'http.headers-too-large', status: 431, detail });
  }
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') {
    // Native clients take any 4xx as "never again", and a slow network is no reason to lose a block.
    const detail = 'the request did not arrive whole in time; send it again';
    return problem({ code: 'http.request-timeout', status: 503, detail });
  }
  return problem({
    code: 'http.malformed',
    status: 400,
    detail: 'this is not well-formed HTTP/1.1',
  });
}
