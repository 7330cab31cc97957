/**
 * Memory of trace-export while 20 million thread spans, one with a name of 1 MB, go to a slow reader.
 * Run: `npm run bench -- slow-reader [--spans N] [--mib-per-second N]`.
 */

import { parseArgs } from 'node:util';
import { startProcessStack } from '../src/harness/process-stack.ts';
import { exportSlowly, sendSyntheticProcess } from '../src/harness/slow-export.ts';

const MIB = 1024 * 1024;

const { values } = parseArgs({
  strict: false,
  options: { spans: { type: 'string' }, 'mib-per-second': { type: 'string' } },
});
const options = {
  spanCount: Number(values.spans ?? 20_000_000),
  bytesPerSecond: Number(values['mib-per-second'] ?? 16) * MIB,
  log: (line: string) => console.error(line),
};
await using stack = await startProcessStack({
  'trace-export': { env: { TRACELAKE_MATERIALIZE_TIMEOUT_S: '3600' } },
});
const processId = await sendSyntheticProcess(stack.ingest.url, options);
console.error('materializing and exporting');
const figures = await exportSlowly(stack, processId, options);
const mib = (bytes: number) => (bytes / MIB).toFixed(1);
console.table({
  'spans exported': figures.sliceCount,
  'trace, MiB': mib(figures.traceBytes),
  'RSS at the first MiB of the trace, MiB': mib(figures.rssBytes[0] ?? 0),
  'RSS at the last, MiB': mib(figures.rssBytes.at(-1) ?? 0),
  'most RSS growth in between, MiB (bound 64)': mib(figures.rssGrowthBytes),
  'most chunks that waited (bound 16)': figures.channelDepthMax,
  seconds: figures.seconds.toFixed(1),
});
