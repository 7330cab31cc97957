import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import path from 'node:path';
import { listCloneBenches } from '../benchmarks/bench-catalog.ts';
import { makeRecordedWorkload, makeSyntheticWorkload } from '../benchmarks/bench-workload.ts';
import { benchPipeline, type PipelineResult } from '../benchmarks/pipeline-bench.ts';
import { explainWaits, pipelineTable, throughputOf } from '../benchmarks/pipeline-report.ts';
import { exitStatus, usageError } from '../cli-error.ts';
import type { Command, CommandArguments, CommandContext } from '../command.ts';
import { formatTable } from '../output/table.ts';
import { cloneDir } from '../stack/stack-settings.ts';

const help = `Usage: tracelake bench               lists what can be measured
       tracelake bench pipeline [options]

Reads blocks from files, decodes them on worker threads (LZ4, events into columns) and writes the
columns to a file, in three shapes that do the same work:

  sequential   one block after the other: read, decode, write
  mutex        a task for each block as soon as it is read; workers share the writer behind a lock
  channels N   reader -> workers -> writer over bounded channels of depth N, as the materializer does

and prints for each how fast it was, what it held in memory, and what each stage waited for. Every
run is a process of its own; rounds take turns and the fastest of each shape counts. Files are left
to the page cache unless --sync-each is given. No service and no database is needed.

  --workers N          decoding threads (default: one for each core)
  --channel-depth LIST depths to compare (default 1,2,4,8)
  --blocks N           blocks to read (default 240)
  --events N           events in each synthetic block (default 50000)
  --input DIR          take the thread-span blocks of this recording instead of synthetic ones
  --sync-each          sync the file to the disk after each block: makes the writer the slow stage
  --rounds N           (default 3)
  --dir DIR            where blocks and columns are written meanwhile (default: a temporary directory)
  --json               everything measured, as JSON

How to read the table: MB/s are of columns written; "held" is what was read and not yet written, at
most; "RSS +" what the process grew by. The rest are parts of the time (of all workers together).
The stage that is busiest sets the pace: before it, stages wait for "room", behind it for "input".
A reader is never busy by itself: it waits for the store, or for room.

Examples:
  tracelake bench pipeline
  tracelake bench pipeline --workers 1 --channel-depth 4 --rounds 5
  tracelake bench pipeline --sync-each --blocks 60
`;

export const benchCommand: Command = {
  name: 'bench',
  summary: 'measure the stage pipeline against simpler shapes, on this machine',
  help,
  options: {
    workers: { type: 'string' },
    'channel-depth': { type: 'string' },
    blocks: { type: 'string' },
    events: { type: 'string' },
    input: { type: 'string' },
    'sync-each': { type: 'boolean' },
    rounds: { type: 'string' },
    dir: { type: 'string' },
    json: { type: 'boolean' },
  },
  async run(args, context) {
    const [name, ...others] = args.positionals;
    if (name === undefined) {
      context.stdout.write(await describeBenches());
      return exitStatus.ok;
    }
    if (name !== 'pipeline' || others.length > 0) {
      const asked = args.positionals.join(' ');
      throw usageError(`there is no benchmark "${asked}" here; there is "pipeline"`);
    }
    await measurePipeline(args, context);
    return exitStatus.ok;
  },
};

async function describeBenches(): Promise<string> {
  const own = formatTable(
    ['benchmark', 'what it measures'],
    [
      [
        'pipeline',
        'reader, workers and writer over channels, beside a mutex and no pipeline at all',
      ],
    ],
  );
  const benches = await listCloneBenches(cloneDir);
  if (benches.length === 0) return own;
  const rows = benches.map(({ name, summary }) => [name, summary]);
  return `${own}\nIn the clone, with "npm run bench -- NAME":\n${formatTable(['NAME', 'what it measures'], rows)}`;
}

interface PipelineSettings {
  readonly workers: number;
  readonly depths: readonly number[];
  readonly rounds: number;
  readonly blockCount: number;
  readonly eventsPerBlock: number;
  readonly input: string | undefined;
  readonly syncEach: boolean;
}

function readSettings(args: CommandArguments, context: CommandContext): PipelineSettings {
  const input = args.text('input');
  return {
    workers: args.integer('workers', { min: 1, max: 256 }) ?? availableParallelism(),
    depths: parseDepths(args.text('channel-depth') ?? '1,2,4,8'),
    rounds: args.integer('rounds', { min: 1, max: 100 }) ?? 3,
    blockCount: args.integer('blocks', { min: 1, max: 100_000 }) ?? 240,
    eventsPerBlock: args.integer('events', { min: 14, max: 4_000_000 }) ?? 50_000,
    input: input === undefined ? undefined : path.resolve(context.cwd, input),
    syncEach: args.flag('sync-each'),
  };
}

function parseDepths(list: string): readonly number[] {
  const depths = list.split(',').map((text) => (/^\d{1,4}$/.test(text) ? Number(text) : 0));
  if (depths.some((depth) => depth < 1 || depth > 1024)) {
    throw usageError(
      `--channel-depth must be whole numbers from 1 to 1024 with commas between, not "${list}"`,
    );
  }
  return [...new Set(depths)].toSorted((a, b) => a - b);
}

async function measurePipeline(args: CommandArguments, context: CommandContext): Promise<void> {
  const settings = readSettings(args, context);
  const parent = path.resolve(context.cwd, args.text('dir') ?? tmpdir());
  const directory = await mkdtemp(path.join(parent, 'tracelake-bench-'));
  const say = (line: string) => void context.stderr.write(`${line}\n`);
  try {
    const { input, blockCount, eventsPerBlock } = settings;
    const workload =
      input === undefined
        ? await makeSyntheticWorkload(directory, { blockCount, eventsPerBlock })
        : await makeRecordedWorkload(directory, { input, blockCount });
    const bytesIn = workload.blocks.reduce((sum, block) => sum + block.bytes, 0);
    say(
      `${blockCount} blocks, ${(bytesIn / 1e6).toFixed(1)} MB as stored, ${settings.rounds} rounds`,
    );
    const results = await benchPipeline({
      ...settings,
      workload,
      directory,
      signal: context.signal,
      onRun: ({ done, of, name }) => say(`run ${done + 1} of ${of}: ${name}`),
    });
    const report = args.flag('json') ? jsonReport(settings, results) : textReport(results);
    context.stdout.write(report);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

function textReport(results: readonly PipelineResult[]): string {
  const sentences = explainWaits(results).map((line) => `- ${line}`);
  return `${pipelineTable(results)}\n${sentences.join('\n')}\n`;
}

function jsonReport(settings: PipelineSettings, results: readonly PipelineResult[]): string {
  const machine = {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    node: process.versions.node,
  };
  const shapes = results.map((result) => ({ ...result, megabytesPerS: throughputOf(result) }));
  const report = { machine, settings, shapes, explanation: explainWaits(results) };
  return `${JSON.stringify(report, undefined, 2)}\n`;
}
