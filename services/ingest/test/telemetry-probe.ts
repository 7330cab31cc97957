/** Looks into the TELEMETRY stream from outside, without the bus package. */
import { jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';

export interface TelemetryProbe extends AsyncDisposable {
  /** Messages in the stream; 0 while there is no stream. */
  count(): Promise<number>;
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
    subjects: async () => Object.keys((await info()).state.subjects ?? {}).sort(),
    [Symbol.asyncDispose]: () => connection.close(),
  };
}
