/** A builder on a lake of a test's own, without the bus: for what only planning and building decide. */

import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { TokenPool } from '@tracelake/channels';
import { createViewRegistry, type ViewRegistry } from '@tracelake/lakehouse';
import { createLogger, createMetrics, type Metrics } from '@tracelake/service-kit';
import { BlockReader } from '../src/build/block-reader.ts';
import type { BuildDependencies } from '../src/build/build-dependencies.ts';
import { InstanceBuilder } from '../src/build/instance-builder.ts';
import { PartitionWriter } from '../src/build/partition-writer.ts';
import { RunWorkerPool } from '../src/build/run-worker-pool.ts';
import { DecodeWorkerPool } from '../src/decode/decode-worker-pool.ts';
import { createMaterializerMetrics } from '../src/telemetry-metrics.ts';
import type { TestLake } from './test-lake.ts';

export interface BuildLab extends AsyncDisposable {
  readonly builder: InstanceBuilder;
  readonly dependencies: BuildDependencies;
  /** Where files in work are. */
  readonly tempDir: string;
  readonly logLines: Record<string, unknown>[];
  /** The value of a metric by its name and labels as Prometheus prints them; 0 when there is none. */
  metric(nameAndLabels: string): Promise<number>;
}

export interface BuildLabOptions {
  readonly registry?: ViewRegistry;
  readonly overrides?: Partial<BuildDependencies>;
}

export async function openBuildLab(
  lake: Pick<TestLake, 'catalog' | 'objectStore' | 'directory'>,
  options: BuildLabOptions = {},
): Promise<BuildLab> {
  const stack = new AsyncDisposableStack();
  const registryOfMetrics = createMetrics({ service: 'test' });
  const metrics = createMaterializerMetrics(registryOfMetrics);
  const tempDir = await mkdtemp(join(lake.directory, 'work-'));
  const logLines: Record<string, unknown>[] = [];
  const write = (line: string) => logLines.push(JSON.parse(line));
  const logger = createLogger({ service: 'test', level: 'debug', destination: { write } });
  const { objectStore } = lake;
  const dependencies: BuildDependencies = {
    registry: options.registry ?? createViewRegistry(),
    catalog: lake.catalog,
    reader: new BlockReader({ objectStore, payloadBytesMax: 64 * 2 ** 20 }),
    writer: new PartitionWriter({ objectStore, tempDir, rowGroupRows: 32_768, logger }),
    decoders: stack.use(
      new DecodeWorkerPool({ workers: 2, decodeTimeoutMs: 20_000, workerHeapMb: 256 }),
    ),
    runWorkers: stack.use(new RunWorkerPool({ workers: 2, decodeTimeoutMs: 20_000 })),
    cpuTokens: new TokenPool(2),
    metrics,
    logger,
    settings: {
      workers: 2,
      channelDepth: 4,
      decompressedBytesMax: 256 * 2 ** 20,
      claimMs: 5000,
      buildTimeoutMs: 60_000,
    },
    ...options.overrides,
  };
  return {
    builder: new InstanceBuilder(dependencies),
    dependencies,
    tempDir,
    logLines,
    metric: (name) => readMetric(registryOfMetrics, name),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

export async function readMetric(metrics: Metrics, nameAndLabels: string): Promise<number> {
  const [name = '', labels = ''] = nameAndLabels.split('{');
  const wanted = labels.replace('}', '').split(',').filter(Boolean);
  for (const line of (await metrics.render()).split('\n')) {
    const match = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line);
    if (match?.[1] !== name) continue;
    if (wanted.every((label) => match[2]?.includes(label))) return Number(match[3]);
  }
  return 0;
}
