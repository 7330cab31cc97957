/** What the figures of the pipeline benchmark mean: a table, and sentences that say who waited for whom. */

import { formatTable } from '../output/table.ts';
import type { PipelineResult } from './pipeline-bench.ts';

const MB = 1e6;

/** Parts of the wall time, 0 to 1; of the workers' time the part of all of them. */
type Shares = Readonly<Record<string, number>>;

export function pipelineTable(results: readonly PipelineResult[]): string {
  const base = throughputOf(results[0]);
  const header = [
    'shape',
    'MB/s',
    'blocks/s',
    'ratio',
    'CPU ms',
    'held MB',
    'RSS +MB',
    'reader: store',
    'room',
    'workers: busy',
    'input',
    'token',
    'room/lock',
    'writer: busy',
    'input',
  ];
  const rows = results.map((result) => {
    const { run, blocks } = result;
    const shares = sharesOf(result);
    const percent = (...names: readonly string[]) =>
      formatPercent(names.reduce((sum, name) => sum + (shares[name] ?? 0), 0));
    return [
      result.name,
      throughputOf(result).toFixed(1),
      ((blocks / run.wallMs) * 1000).toFixed(0),
      (throughputOf(result) / base).toFixed(2),
      run.cpuMs.toFixed(0),
      (run.heldBytesMax / MB).toFixed(1),
      (run.rssGrowthBytes / MB).toFixed(0),
      percent('reader input'),
      percent('reader room'),
      percent('worker busy'),
      percent('worker input'),
      percent('worker cpu_token'),
      percent('worker room', 'worker lock'),
      percent('writer busy'),
      percent('writer input'),
    ];
  });
  return formatTable(header, rows);
}

/** One sentence a line: where time goes in the channel pipeline, what its depth buys, and what the others pay. */
export function explainWaits(results: readonly PipelineResult[]): readonly string[] {
  const channels = results.filter(({ shape }) => shape === 'channels');
  const middle =
    channels.find(({ channelDepth }) => channelDepth === 4) ?? channels[channels.length - 1];
  if (middle === undefined) return [];
  const lines = [explainPace(middle), ...explainDepth(channels)];
  const mutex = results.find(({ shape }) => shape === 'mutex');
  if (mutex !== undefined) lines.push(explainMutex(mutex, middle));
  const sequential = results.find(({ shape }) => shape === 'sequential');
  if (sequential !== undefined) lines.push(explainSequential(sequential, middle));
  return lines;
}

export function throughputOf(result: PipelineResult | undefined): number {
  return result === undefined ? 0 : result.run.bytesOut / MB / (result.run.wallMs / 1000);
}

/** The stage that waits least for others sets the pace. */
function explainPace(result: PipelineResult): string {
  const shares = sharesOf(result);
  const share = (name: string) => shares[name] ?? 0;
  const percent = (name: string) => formatPercent(share(name));
  const where = `At depth ${result.channelDepth}`;
  const pace = [
    {
      busy: share('reader input'),
      says: `${where} the reader sets the pace: it waited for the store ${percent('reader input')} of the time, so workers had no input for ${percent('worker input')} of theirs and the writer for ${percent('writer input')}.`,
    },
    {
      busy: share('worker busy'),
      says: `${where} the ${result.workers} workers set the pace: they decoded ${percent('worker busy')} of their time, while the reader waited ${percent('reader room')} of it for room in their queue and the writer ${percent('writer input')} for a result.`,
    },
    {
      busy: share('writer busy'),
      says: `${where} the writer sets the pace: it wrote ${percent('writer busy')} of the time, while workers waited ${percent('worker room')} of theirs for room before it, and through them the reader ${percent('reader room')}.`,
    },
  ];
  const slowest = pace.toSorted((a, b) => b.busy - a.busy)[0];
  return slowest?.says ?? '';
}

/** What differs by less is the machine's noise. */
const NOISE = 0.05;

function explainDepth(channels: readonly PipelineResult[]): readonly string[] {
  if (channels.length < 2) return [];
  const best = Math.max(...channels.map(throughputOf));
  const enough = channels.find((result) => throughputOf(result) >= best * (1 - NOISE));
  const deepest = channels[channels.length - 1];
  if (enough === undefined || deepest === undefined) return [];
  const held = (result: PipelineResult) => (result.run.heldBytesMax / MB).toFixed(1);
  const more =
    enough === deepest
      ? `only the deepest does`
      : `deeper channels only hold more, ${held(deepest)} MB at depth ${deepest.channelDepth}`;
  const depth = `Depth ${enough.channelDepth} reaches the best within ${formatPercent(NOISE)} and holds ${held(enough)} MB; ${more}.`;
  return [depth];
}

function explainMutex(mutex: PipelineResult, channels: PipelineResult): string {
  const shares = sharesOf(mutex);
  const heldBack = (shares['worker lock'] ?? 0) + (shares['writer busy'] ?? 0) / mutex.workers;
  const times = mutex.run.heldBytesMax / channels.run.heldBytesMax;
  const order = mutex.run.isInOrder ? 'happened to come in order' : 'came out of order';
  return (
    `Behind a mutex workers spent ${formatPercent(heldBack)} of their time on the lock and on writing ` +
    `(${ratioOf(mutex, channels)} of the channels' throughput); nothing holds its reader back, so it held ` +
    `${times.toFixed(1)} times as much, and its blocks ${order}.`
  );
}

function explainSequential(sequential: PipelineResult, channels: PipelineResult): string {
  const { run } = sequential;
  const busy = (run.stageMs['worker busy'] ?? 0) / run.wallMs;
  return (
    `One block after the other decodes ${formatPercent(busy)} of the time and reaches ` +
    `${ratioOf(sequential, channels)} of the channels' throughput: nothing overlaps.`
  );
}

function ratioOf(result: PipelineResult, channels: PipelineResult): string {
  return (throughputOf(result) / throughputOf(channels)).toFixed(2);
}

function sharesOf({ run, workers }: PipelineResult): Shares {
  const entries = Object.entries(run.stageMs).map(([name, ms]) => {
    const available = name.startsWith('worker') ? run.wallMs * workers : run.wallMs;
    return [name, ms / available] as const;
  });
  return Object.fromEntries(entries);
}

function formatPercent(share: number): string {
  return `${Math.round(share * 100)}%`;
}
