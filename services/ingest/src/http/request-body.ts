/**
 * Receives request bodies within limits. fastify's own parsers either refuse content types they do not
 * know or ignore the body limit for streams, so the bytes are counted here as they come.
 */
import type { IncomingMessage } from 'node:http';
import { freeOwnMemory } from '@tracelake/domain';
import { type ByteBudget, type ByteReservation, ProblemError } from '@tracelake/service-kit';
import type { ReceiveBuffers } from './receive-buffers.ts';

export interface BodyLimits {
  readonly maxBodyBytes: number;
  readonly budget: ByteBudget;
  readonly buffers: ReceiveBuffers;
}

/** A body and its share of the budget, which disposing gives back. */
export interface ReceivedBody extends Disposable {
  readonly bytes: Uint8Array;
  /**
   * Lets the next body have the memory. Only when nothing looks at it any more, so never after a failure: a write that
   * was given up may still be under way.
   */
  recycle(): void;
}

/** What a request costs beside its body; bounds how many small ones are held at once. */
export const REQUEST_OVERHEAD_BYTES = 16 * 1024;

/**
 * Receives a whole body. Refuses with 413 what is too large, a declared length before the first byte is
 * read, and with 503 what does not fit beside the other requests under way.
 */
export async function receiveBody(
  request: IncomingMessage,
  limits: BodyLimits,
): Promise<ReceivedBody> {
  const declaredBytes = Number(request.headers['content-length'] ?? 0);
  if (declaredBytes > limits.maxBodyBytes) throw tooLarge(limits.maxBodyBytes);
  const reservation = limits.budget.tryReserve(REQUEST_OVERHEAD_BYTES + declaredBytes);
  if (reservation === undefined) throw overloaded();
  try {
    const whole = limits.buffers.take(declaredBytes);
    const bytes = await collect(request, { ...limits, reservation, declaredBytes, whole });
    return {
      bytes,
      recycle: () => limits.buffers.giveBack(whole),
      [Symbol.dispose]: () => reservation[Symbol.dispose](),
    };
  } catch (error) {
    reservation[Symbol.dispose]();
    throw error;
  }
}

interface CollectOptions extends BodyLimits {
  readonly reservation: ByteReservation;
  readonly declaredBytes: number;
  /** Has room for the declared bytes, which have their place in the budget already. */
  readonly whole: Buffer;
}

function collect(request: IncomingMessage, options: CollectOptions): Promise<Uint8Array> {
  const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
  const { whole } = options;
  const chunks: Buffer[] = [];
  let receivedBytes = 0;
  let placedBytes = 0;
  const onData = (chunk: Buffer<ArrayBuffer>) => {
    receivedBytes += chunk.length;
    if (receivedBytes > options.maxBodyBytes) return stop(tooLarge(options.maxBodyBytes));
    if (receivedBytes <= options.declaredBytes) {
      placedBytes += chunk.copy(whole, placedBytes);
      // Small chunks are views of memory that others use too.
      freeOwnMemory(chunk);
      return;
    }
    // A chunked body pays as it comes.
    if (!options.reservation.tryGrow(chunk.length)) return stop(overloaded());
    chunks.push(chunk);
  };
  const onEnd = () => {
    stopListening();
    const placed = whole.subarray(0, placedBytes);
    resolve(chunks.length === 0 ? placed : Buffer.concat([placed, ...chunks], receivedBytes));
  };
  const onGone = () => stop(aborted());
  const stopListening = () => {
    request.off('data', onData).off('end', onEnd).off('close', onGone);
  };
  const stop = (error: Error) => {
    stopListening();
    request.pause();
    reject(error);
  };
  // The stream's own error listener stays: an abort after the answer must not be an uncaught exception.
  request.on('error', onGone).on('data', onData).on('end', onEnd).on('close', onGone);
  return promise;
}

function tooLarge(limit: number): ProblemError {
  return new ProblemError({
    code: 'ingest.body-too-large',
    status: 413,
    detail: `the body is larger than ${limit} bytes; send smaller blocks or raise TRACELAKE_MAX_BODY_BYTES`,
    facts: { limit },
  });
}

function overloaded(): ProblemError {
  return new ProblemError({
    code: 'ingest.overloaded',
    status: 503,
    detail: 'too many bytes of requests are under way; send this again',
    retryAfterS: 1,
  });
}

/** Nobody receives this answer: the connection ended before the body did. */
function aborted(): ProblemError {
  return new ProblemError({
    code: 'ingest.request-aborted',
    status: 400,
    detail: 'the connection ended before the body did',
  });
}
