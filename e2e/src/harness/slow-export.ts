/**
 * Exports a synthetic process of any size through the running system to a reader that is slower than the
 * service, and watches what the service's memory does meanwhile.
 */

import { get } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  RecordingBuilder,
  recordNestedSpans,
  type ScopeSpec,
  TraceDecoder,
} from '@tracelake/test-kit';
import { postUntilAcknowledged, readMetric } from './client.ts';
import type { ProcessStack } from './process-stack.ts';

const MIB = 1024 * 1024;
const LONG_NAME_BYTES = MIB;
const BLOCK_BYTES = 3 * MIB;

export interface SlowExportOptions {
  readonly spanCount: number;
  /** What the reader takes at most. */
  readonly bytesPerSecond: number;
  readonly log?: (line: string) => void;
}

export interface SlowExportFigures {
  readonly traceBytes: number;
  readonly sliceCount: number;
  /** Of the service, as each megabyte of the trace arrived. */
  readonly rssBytes: readonly number[];
  /** How much the service grew between the first and the last megabyte; negative when it shrank. */
  readonly rssGrowthBytes: number;
  /** Most chunks that ever waited. */
  readonly channelDepthMax: number;
  readonly seconds: number;
}

/** Sends a thread of nested spans, one of them with a name of 1 MB; gives the process's id. */
export async function sendSyntheticProcess(
  ingestUrl: string,
  { spanCount, log }: Omit<SlowExportOptions, 'bytesPerSecond'>,
): Promise<string> {
  const recording = new RecordingBuilder({ seed: spanCount });
  const thread = recording.addThread({ name: 'main', id: '1' });
  const long: ScopeSpec = { name: 'n'.repeat(LONG_NAME_BYTES), target: 'synthetic' };
  thread.begin(long, 0);
  thread.end(long, 50);
  const pending: Promise<void>[] = [];
  const send = () => {
    for (const request of recording.takeRequests()) {
      pending.push(postUntilAcknowledged(ingestUrl, request));
    }
  };
  // Towers are recorded in slices, so that requests leave before there are many.
  const sliceSpans = 400_000;
  let at = 100;
  for (let sent = 1; sent < spanCount; sent += sliceSpans) {
    at = recordNestedSpans(thread, {
      spanCount: Math.min(sliceSpans, spanCount - sent),
      beginTicks: at + 100,
      blockBytesMax: BLOCK_BYTES,
    });
    send();
    await Promise.all(pending.splice(0));
    log?.(`sent ${Math.min(sent + sliceSpans, spanCount)} of ${spanCount} spans`);
  }
  recording.flushAll();
  send();
  await Promise.all(pending);
  return recording.processId;
}

/** Exports the process to a reader that takes so many bytes a second, checking every packet. */
export async function exportSlowly(
  stack: ProcessStack,
  processId: string,
  { bytesPerSecond }: SlowExportOptions,
): Promise<SlowExportFigures> {
  const decoder = new TraceDecoder({ keepSlices: false });
  const rssBytes: number[] = [];
  const startMs = performance.now();
  let traceBytes = 0;
  for await (const chunk of openTrace(`${stack.traceExport.url}/v1/processes/${processId}/trace`)) {
    decoder.push(chunk);
    traceBytes += chunk.length;
    if (Math.floor(traceBytes / MIB) >= rssBytes.length) {
      rssBytes.push(await stack.traceExport.residentBytes());
    }
    const aheadMs = (traceBytes / bytesPerSecond) * 1000 - (performance.now() - startMs);
    if (aheadMs > 1) await sleep(aheadMs);
  }
  rssBytes.push(await stack.traceExport.residentBytes());
  const trace = decoder.finish();
  if (trace.problems.length > 0) throw new Error(trace.problems.slice(0, 5).join('\n'));
  return {
    traceBytes,
    sliceCount: trace.sliceCount,
    rssBytes,
    rssGrowthBytes: Math.max(...rssBytes.slice(1)) - (rssBytes[0] ?? 0),
    channelDepthMax: await readMetric(
      stack.traceExport.url,
      'tracelake_export_channel_depth_max_chunks',
    ),
    seconds: (performance.now() - startMs) / 1000,
  };
}

/** The body as it comes; what is not taken stays in the socket. */
async function* openTrace(url: string): AsyncGenerator<Uint8Array, void, undefined> {
  const response = await new Promise<import('node:http').IncomingMessage>((resolve, reject) => {
    get(url, resolve).once('error', reject);
  });
  if (response.statusCode !== 200) throw new Error(`export: ${response.statusCode}`);
  yield* response as AsyncIterable<Uint8Array>;
  if (!response.complete) throw new Error('the response was cut short');
}
