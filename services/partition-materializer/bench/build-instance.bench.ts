/**
 * Blocks of one thread to partitions of `thread_spans`, everything included: fetch, decode, fold, Parquet,
 * commit. `--spans N` (default 1,000,000).
 */

import { parseArgs } from 'node:util';
import { RecordingBuilder, recordNestedSpans } from '@tracelake/test-kit';
import { openBuildLab } from '../test/build-lab.ts';
import { openTestLake } from '../test/test-lake.ts';

const { values } = parseArgs({
  options: { spans: { type: 'string', default: '1000000' } },
  strict: false,
});
const spanCount = Number(values.spans);

await using lake = await openTestLake();
await using lab = await openBuildLab(lake);
const recording = new RecordingBuilder({ seed: 1, frequencyHz: 1e9 });
const thread = recording.addThread({ name: 'main', id: '1' });
const requests = recording.takeRequests();
recordNestedSpans(thread, {
  spanCount,
  blockBytesMax: 1_000_000,
  onFlush: () => requests.push(...recording.takeRequests()),
});
requests.push(...recording.requests());
for (const request of requests.splice(0)) await lake.ingest(request);

const signal = AbortSignal.timeout(600_000);
const cpuBefore = process.cpuUsage();
const startMs = performance.now();
const target = { viewSet: 'thread_spans', instance: thread.stream.streamId };
const report = await lab.builder.build(target, signal);
const wallMs = performance.now() - startMs;
const { user, system } = process.cpuUsage(cpuBefore);
const cpuMs = (user + system) / 1000;
console.table({
  'spans built': report.rows,
  'blocks decoded': report.blocksDecoded,
  partitions: report.built,
  'wall ms': Math.round(wallMs),
  'CPU ms': Math.round(cpuMs),
  'thousand spans a CPU second': Math.round(report.rows / cpuMs),
  'RSS MB at the end': Math.round(process.memoryUsage.rss() / 1e6),
});
