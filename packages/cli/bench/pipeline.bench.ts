/**
 * The stage pipeline over channels of depth 4 beside a mutex and no pipeline at all, on the same blocks in the same run:
 * `tracelake bench pipeline` explains its figures. `--rounds N` (default 5), `--blocks N` (default 160).
 */

import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { reportBench } from '@tracelake/test-kit';
import { makeSyntheticWorkload } from '../src/benchmarks/bench-workload.ts';
import { benchPipeline } from '../src/benchmarks/pipeline-bench.ts';
import { explainWaits, pipelineTable, throughputOf } from '../src/benchmarks/pipeline-report.ts';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    blocks: { type: 'string', default: '160' },
  },
  strict: false,
});

const directory = await mkdtemp(join(tmpdir(), 'tracelake-bench-'));
try {
  const blockCount = Number(values.blocks);
  const results = await benchPipeline({
    workload: await makeSyntheticWorkload(directory, { blockCount, eventsPerBlock: 50_000 }),
    workers: availableParallelism(),
    depths: [4],
    rounds: Number(values.rounds),
    syncEach: false,
    directory,
    signal: new AbortController().signal,
  });
  console.log(pipelineTable(results));
  for (const line of explainWaits(results)) console.log(`- ${line}`);
  const [sequential, mutex, channels] = results;
  const throughput = throughputOf(channels);
  const ratios = { unit: 'ratio of MB/s', better: 'higher', scalesWithMachine: false } as const;
  const mbPerCpuS = (channels?.run.bytesOut ?? 0) / 1000 / (channels?.run.cpuMs ?? 1);
  reportBench([
    {
      name: 'pipeline channels/sequential',
      value: throughput / throughputOf(sequential),
      ...ratios,
    },
    { name: 'pipeline channels/mutex', value: throughput / throughputOf(mutex), ...ratios },
    { name: 'pipeline channels', value: mbPerCpuS, unit: 'MB of columns/CPU s', better: 'higher' },
    {
      name: 'pipeline channels held',
      value: (channels?.run.heldBytesMax ?? 0) / 1e6,
      unit: 'MB',
      better: 'lower',
      scalesWithMachine: false,
    },
  ]);
} finally {
  await rm(directory, { recursive: true, force: true });
}
