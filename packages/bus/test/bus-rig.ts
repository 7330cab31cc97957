/** What the tests of the bus share: a bus on a server of its own, messages, and a look at the server itself. */
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { type JetStreamManager, jetstreamManager } from '@nats-io/jetstream';
import { connect, type NatsConnection } from '@nats-io/transport-node';
import {
  ensureExists,
  type ProcessId,
  parseBlockId,
  parseProcessId,
  parseStreamId,
} from '@tracelake/domain';
import { startTestNats, type TestNats } from '@tracelake/test-kit';
import {
  type BlockInserted,
  type Bus,
  type BusEvent,
  type ConnectBusOptions,
  connectBus,
  type MaterializeRequested,
} from '../src/index.ts';

export interface BusRig extends AsyncDisposable {
  readonly nats: TestNats;
  readonly bus: Bus;
  readonly events: BusEvent[];
}

export const RIG_LANES = 4;

export async function startBusRig(options: Partial<ConnectBusOptions> = {}): Promise<BusRig> {
  const stack = new AsyncDisposableStack();
  const nats = stack.use(await startTestNats());
  const events: BusEvent[] = [];
  const bus = stack.use(
    await connectBus({
      servers: nats.url,
      name: 'test',
      lanes: RIG_LANES,
      onEvent: (event) => events.push(event),
      ...options,
    }),
  );
  return { nats, bus, events, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

/** The server as another client sees it. */
export interface Observer extends AsyncDisposable {
  readonly connection: NatsConnection;
  readonly manager: JetStreamManager;
}

export async function observe(nats: TestNats): Promise<Observer> {
  const connection = await connect({ servers: nats.url });
  const manager = await jetstreamManager(connection);
  return { connection, manager, [Symbol.asyncDispose]: () => connection.close() };
}

export function newProcessId(): ProcessId {
  return ensureExists(parseProcessId(randomUUID()), 'a process id');
}

export function blockInserted(processId: ProcessId = newProcessId()): BlockInserted {
  return {
    processId,
    streamId: ensureExists(parseStreamId(randomUUID()), 'a stream id'),
    blockId: ensureExists(parseBlockId(randomUUID()), 'a block id'),
    tags: ['log'],
    insertTimeUs: 1_763_690_000_000_001n,
    objectCount: 12,
    payloadBytes: 345,
  };
}

export function materializeRequested(
  fields: Partial<MaterializeRequested> = {},
): MaterializeRequested {
  return {
    processId: newProcessId(),
    viewSet: 'thread_spans',
    instance: randomUUID(),
    beginNs: undefined,
    endNs: undefined,
    wantedHash: 'wanted',
    attempt: 0,
    ...fields,
  };
}

/** Waits for a condition; fails after `timeoutMs` saying what did not come. */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  timeoutMs = 10_000,
): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await delay(10);
  }
}
