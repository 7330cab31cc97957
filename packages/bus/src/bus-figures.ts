/** How much the server holds: one look for operators. */
import { JetStreamApiError, jetstreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/nats-core';
import { BusError } from './bus-error.ts';
import { API_TIMEOUT_MS } from './stream-keeper.ts';
import { STREAM_NAMES, type StreamName } from './subjects.ts';
import { raceAbort } from './waiting.ts';

export interface StreamFigures {
  readonly stream: StreamName;
  readonly messages: number;
  readonly bytes: number;
}

export interface ConsumerFigures {
  readonly stream: StreamName;
  /** Its durable name. */
  readonly consumer: string;
  /** Messages that no replica has taken yet. */
  readonly pending: number;
  /** Messages taken and neither acknowledged nor given back. */
  readonly unacknowledged: number;
}

export interface BusFigures {
  /** Streams that are there. */
  readonly streams: readonly StreamFigures[];
  /** Durable consumers; those of waiters come and go with their process. */
  readonly consumers: readonly ConsumerFigures[];
}

/** Streams whose messages are work. Only they have durable consumers. */
const WORK_STREAMS: readonly StreamName[] = ['TELEMETRY', 'MATERIALIZE'];

/** Takes a round trip for each stream, and one for each 256 consumers. */
export async function readBusFigures(
  connection: NatsConnection,
  signal: AbortSignal,
): Promise<BusFigures> {
  try {
    return await raceAbort(readAll(connection), signal);
  } catch (cause) {
    signal.throwIfAborted();
    if (cause instanceof BusError) throw cause;
    const options = { cause, retryable: true };
    throw new BusError('bus.unavailable', 'the server does not tell what it holds', options);
  }
}

async function readAll(connection: NatsConnection): Promise<BusFigures> {
  const manager = await jetstreamManager(connection, { checkAPI: false, timeout: API_TIMEOUT_MS });
  const streams: StreamFigures[] = [];
  const consumers: ConsumerFigures[] = [];
  for (const stream of STREAM_NAMES) {
    try {
      const { state } = await manager.streams.info(stream);
      streams.push({ stream, messages: state.messages, bytes: state.bytes });
      if (!WORK_STREAMS.includes(stream)) continue;
      for await (const info of manager.consumers.list(stream)) {
        if (info.config.durable_name === undefined) continue;
        consumers.push({
          stream,
          consumer: info.config.durable_name,
          pending: info.num_pending,
          unacknowledged: info.num_ack_pending,
        });
      }
    } catch (error) {
      // One that is missing is made again soon; the others have their figures now.
      if (error instanceof JetStreamApiError && error.status === 404) continue;
      throw error;
    }
  }
  return { streams, consumers };
}
