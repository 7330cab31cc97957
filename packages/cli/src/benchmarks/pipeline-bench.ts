/** Runs every shape in rounds that take turns, so that what else the machine does falls on all of them alike. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { CliError } from '../cli-error.ts';
import type { Workload } from './bench-workload.ts';
import type { PipelineRun, PipelineRunRequest } from './pipeline-run.ts';
import type { PipelineShape } from './pipeline-variants.ts';

export interface PipelineBenchOptions {
  readonly workload: Workload;
  readonly workers: number;
  readonly depths: readonly number[];
  readonly rounds: number;
  readonly syncEach: boolean;
  /** Where output files are written; each is removed after its run. */
  readonly directory: string;
  readonly signal: AbortSignal;
  readonly onRun?: (facts: { readonly done: number; readonly of: number; name: string }) => void;
}

export interface PipelineResult {
  readonly name: string;
  readonly shape: PipelineShape;
  readonly workers: number;
  /** Of `channels` alone. */
  readonly channelDepth: number | undefined;
  readonly blocks: number;
  /** The fastest of the rounds. */
  readonly run: PipelineRun;
  /** Wall milliseconds of every round. */
  readonly roundsMs: readonly number[];
}

type Variant = Pick<PipelineResult, 'name' | 'shape' | 'workers' | 'channelDepth'>;

/** Throws `cli.stack` when a run fails, and the signal's reason. */
export async function benchPipeline(
  options: PipelineBenchOptions,
): Promise<readonly PipelineResult[]> {
  const { workers, depths, rounds, workload, signal, onRun } = options;
  const variants: readonly Variant[] = [
    { name: 'sequential', shape: 'sequential', workers: 1, channelDepth: undefined },
    { name: 'mutex', shape: 'mutex', workers, channelDepth: undefined },
    ...depths.map((channelDepth) => {
      return {
        name: `channels ${channelDepth}`,
        shape: 'channels',
        workers,
        channelDepth,
      } as const;
    }),
  ];
  const runs = variants.map((): PipelineRun[] => []);
  for (let round = 0; round < rounds; round++) {
    for (const [index, variant] of variants.entries()) {
      signal.throwIfAborted();
      const done = round * variants.length + index;
      onRun?.({ done, of: rounds * variants.length, name: variant.name });
      runs[index]?.push(await runInProcess(variant, options));
    }
  }
  return variants.map((variant, index) => {
    const sorted = (runs[index] ?? []).toSorted((a, b) => a.wallMs - b.wallMs);
    const [run] = sorted;
    if (run === undefined) throw new CliError('cli.stack', `${variant.name} was not run`);
    const roundsMs = sorted.map(({ wallMs }) => wallMs);
    return { ...variant, blocks: workload.blocks.length, run, roundsMs };
  });
}

async function runInProcess(
  { shape, workers, channelDepth }: Variant,
  { workload, syncEach, directory, signal }: PipelineBenchOptions,
): Promise<PipelineRun> {
  const request: PipelineRunRequest = {
    workload,
    shape,
    workers,
    channelDepth: channelDepth ?? 1,
    syncEach,
    outputFile: path.join(directory, 'columns'),
  };
  const script = fileURLToPath(new URL('./pipeline-run.ts', import.meta.url));
  const child = spawn(process.execPath, ['--expose-gc', script], { signal, killSignal: 'SIGKILL' });
  const closed = once(child, 'close');
  // A child that ends before it has read its request tells so by its status.
  child.stdin.on('error', () => {});
  child.stdin.end(JSON.stringify(request));
  const [[status], answer, complaint] = await Promise.all([
    closed,
    text(child.stdout),
    text(child.stderr),
  ]).catch((error: unknown) => {
    signal.throwIfAborted();
    throw error;
  });
  if (status !== 0) {
    throw new CliError('cli.stack', `a run of ${shape} ended with ${status}:\n${complaint}`);
  }
  return JSON.parse(answer) as PipelineRun;
}
