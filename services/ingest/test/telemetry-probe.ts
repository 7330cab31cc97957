/** Looks into the TELEMETRY stream from outside, beside the connection of the service. */
import { jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { type BusMessage, decodeMessage } from '@tracelake/bus';

export interface TelemetryProbe extends AsyncDisposable {
  /** Messages in the stream; 0 while there is no stream. */
  count(): Promise<number>;
  /** All messages, oldest first. */
  messages(): Promise<BusMessage[]>;
  /** The subjects that messages of the stream have, sorted. */
  subjects(): Promise<string[]>;
}

export async function startProbe(natsUrl: string): Promise<TelemetryProbe> {
  const connection = await connect({ servers: new URL(natsUrl).host, maxReconnectAttempts: -1 });
  const info = async () => {
    const manager = await jetstreamManager(connection, { checkAPI: false, timeout: 2000 });
    return manager.streams.info('TELEMETRY', { subjects_filter: '>' });
  };
  return {
    count: async () => {
      const found = await info().catch(() => undefined);
      return found?.state.messages ?? 0;
    },
    messages: async () => {
      const { state } = await info();
      const manager = await jetstreamManager(connection, { checkAPI: false });
      const messages: BusMessage[] = [];
      for (let sequence = state.first_seq; sequence <= state.last_seq; sequence += 1) {
        const stored = await manager.streams.getMessage('TELEMETRY', { seq: sequence });
        if (stored !== null) messages.push(decodeMessage(stored.subject, stored.data));
      }
      return messages;
    },
    subjects: async () => Object.keys((await info()).state.subjects ?? {}).sort(),
    [Symbol.asyncDispose]: () => connection.close(),
  };
}
