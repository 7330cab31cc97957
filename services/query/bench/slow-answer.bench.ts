/**
 * Memory of the service and of a query's own process while ten million rows go to a slow reader.
 * Run: `npm run bench -- slow-answer`.
 */

import { readSlowly } from '../test/slow-reader.ts';

const MIB = 2 ** 20;

for (const format of ['arrow', 'csv'] as const) {
  const startedMs = performance.now();
  const { rows, bytes, ownGrowth, childGrowth } = await readSlowly(format);
  const mib = (count: number) => (count / MIB).toFixed(1);
  console.table({
    format,
    rows,
    'answer, MiB': mib(bytes),
    'growth of the service, MiB (bound 64)': mib(ownGrowth),
    'growth of the query process, MiB (bound 64)': mib(childGrowth),
    seconds: ((performance.now() - startedMs) / 1000).toFixed(1),
  });
}
