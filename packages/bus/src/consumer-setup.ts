import type { ConsumerConfig, ConsumerInfo, JetStreamManager } from '@nats-io/jetstream';
import { JetStreamApiError } from '@nats-io/jetstream';
import { differingFields } from './stream-configs.ts';

/** What the server is asked for: exactly the fields that are compared with its answer. */
export type WantedConsumer = Required<
  Pick<
    ConsumerConfig,
    | 'durable_name'
    | 'filter_subject'
    | 'ack_policy'
    | 'deliver_policy'
    | 'ack_wait'
    | 'max_deliver'
    | 'max_ack_pending'
  >
>;

/**
 * Makes the durable consumer, or brings it up to date. One that the server cannot change is made anew: its
 * messages come once more, which is harmless, as duplicates always are.
 */
export async function ensureConsumer(
  manager: JetStreamManager,
  stream: string,
  wanted: WantedConsumer,
): Promise<ConsumerInfo> {
  try {
    const info = await manager.consumers.add(stream, wanted);
    if (differingFields(wanted, { ...info.config }).length === 0) return info;
  } catch (error) {
    // The server has one code for what it cannot change and for what it cannot do: a look tells which.
    if (!(error instanceof JetStreamApiError)) throw error;
    const existing = await manager.consumers.info(stream, wanted.durable_name).catch(() => {
      throw error;
    });
    if (differingFields(wanted, { ...existing.config }).length === 0) throw error;
  }
  await manager.consumers.delete(stream, wanted.durable_name);
  return manager.consumers.add(stream, wanted);
}
