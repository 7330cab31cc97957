/** The whole system after it has taken, built, refused, exported and queried things, and what it exports of that. */

import { loadFixture, RecordingBuilder } from '@tracelake/test-kit';
import { eventually, exportTrace, replay } from './client.ts';
import { type ExportedMetrics, readExportedMetrics } from './metric-series.ts';
import { type ProcessStack, type ServiceProcess, startProcessStack } from './process-stack.ts';

export interface MeasuredStack extends ProcessStack {
  readonly query: ServiceProcess;
  readonly metrics: ExportedMetrics;
}

export async function startMeasuredStack(): Promise<MeasuredStack> {
  await using owned = new AsyncDisposableStack();
  const stack = owned.use(
    await startProcessStack({
      'partition-materializer': { env: { TRACELAKE_MATERIALIZER_OBSERVE_INTERVAL_S: '0.5' } },
    }),
  );
  const query = await stack.startService('query');
  const services = [stack.ingest, stack.materializer, stack.traceExport, query];
  await sendTelemetry(stack, query);
  for (const { url } of services) await (await fetch(`${url}/nothing/here`)).bytes();
  const metrics = await eventually(
    async () => {
      const read = await readExportedMetrics(services.map(({ url }) => url));
      const has = (name: string, view: string) =>
        read.get(`tracelake_materializer_${name}`)?.some((labels) => labels.view === view) === true;
      const isBuilt = ['log_entries', 'async_events'].every((view) => has('lag_ms_count', view));
      const isObserved = read.get('tracelake_bus_consumer_pending')?.[0] !== undefined;
      return isBuilt && isObserved ? read : undefined;
    },
    'building what was sent',
    60_000,
  );
  const kept = owned.move();
  return { ...stack, query, metrics, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

/** A recording of every kind of telemetry, exported as a trace and queried, and a block that cannot be decoded. */
async function sendTelemetry(stack: ProcessStack, query: ServiceProcess): Promise<void> {
  const fixture = loadFixture('small');
  await replay(stack.ingest.url, fixture.requests);
  await exportTrace(stack.traceExport.url, fixture.processId);
  await replay(stack.ingest.url, poisonedRequests(1));
  const response = await fetch(`${query.url}/v1/query`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ sql: 'SELECT count(*) FROM processes' }),
  });
  await response.bytes();
}

/** A process with one block that no view can decode. */
export function poisonedRequests(seed: number): ReturnType<RecordingBuilder['requests']> {
  const recording = new RecordingBuilder({ seed });
  recording.logStream.appendRecord(Uint8Array.of(0xff));
  recording.logStream.flushBlock();
  return recording.requests();
}
