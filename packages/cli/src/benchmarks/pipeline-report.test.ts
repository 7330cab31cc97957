import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PipelineResult } from './pipeline-bench.ts';
import { explainWaits, pipelineTable, throughputOf } from './pipeline-report.ts';
import type { PipelineRun } from './pipeline-run.ts';

type Figures = Partial<PipelineRun>;

function run(stageMs: PipelineRun['stageMs'], figures: Figures = {}): PipelineRun {
  return {
    wallMs: 1000,
    cpuMs: 1500,
    bytesIn: 50e6,
    bytesOut: 100e6,
    events: 1e6,
    heldBytesMax: 8e6,
    rssGrowthBytes: 20e6,
    rssMaxBytes: 100e6,
    stageMs,
    isInOrder: true,
    sha256: '',
    ...figures,
  };
}

function channels(channelDepth: number, ...of: Parameters<typeof run>): PipelineResult {
  const name = `channels ${channelDepth}`;
  const facts = { name, shape: 'channels', workers: 2, channelDepth, blocks: 100 } as const;
  return { ...facts, run: run(...of), roundsMs: [1000] };
}

function other(shape: 'sequential' | 'mutex', ...of: Parameters<typeof run>): PipelineResult {
  const workers = shape === 'mutex' ? 2 : 1;
  const facts = { name: shape, shape, workers, channelDepth: undefined, blocks: 100 } as const;
  return { ...facts, run: run(...of), roundsMs: [1000] };
}

test('the busiest stage is named as the one that sets the pace, with the waits of the others', () => {
  const decoding = { 'worker busy': 1900, 'reader room': 850, 'writer input': 700 };
  const [workers = ''] = explainWaits([channels(4, decoding)]);
  assert.match(workers, /2 workers set the pace: they decoded 95% of their time/);
  assert.match(workers, /reader waited 85% of it for room/);
  assert.match(workers, /writer 70% for a result/);

  const writing = { 'writer busy': 980, 'worker room': 1200, 'reader room': 600 };
  const [writer = ''] = explainWaits([channels(4, writing)]);
  assert.match(writer, /writer sets the pace: it wrote 98%.*workers waited 60%.*reader 60%/);

  const reading = { 'reader input': 990, 'worker input': 1500, 'writer input': 900 };
  const [reader = ''] = explainWaits([channels(4, reading)]);
  assert.match(reader, /reader sets the pace: it waited for the store 99%.*no input for 75%/);
});

test('the shallowest depth that is as fast as any is named, and what deeper ones hold', () => {
  const results = [
    channels(1, {}, { wallMs: 1300, heldBytesMax: 3e6 }),
    channels(2, {}, { wallMs: 1030, heldBytesMax: 5e6 }),
    channels(8, {}, { wallMs: 1000, heldBytesMax: 17e6 }),
  ];
  const depth = explainWaits(results)[1] ?? '';
  assert.match(depth, /^Depth 2 reaches the best within 5% and holds 5.0 MB/);
  assert.match(depth, /deeper channels only hold more, 17.0 MB at depth 8/);
});

test('what a mutex and no overlap cost is told beside the channels', () => {
  const results = [
    other('sequential', { 'worker busy': 600 }, { wallMs: 2000 }),
    other(
      'mutex',
      { 'worker lock': 300, 'writer busy': 500 },
      { wallMs: 1250, heldBytesMax: 48e6 },
    ),
    channels(4, { 'worker busy': 1900 }),
  ];
  const told = explainWaits(results).join('\n');
  assert.match(told, /mutex workers spent 32% of their time/);
  assert.match(told, /0.80 of the channels' throughput.*held 6.0 times as much/);
  assert.match(told, /decodes 30% of the time and reaches 0.50 of the channels' throughput/);
  const [first] = results;
  assert.equal(throughputOf(first), 50);
  const lines = pipelineTable(results).split('\n');
  assert.match(lines[1] ?? '', /^sequential +50.0 +50 +1.00/);
  assert.match(lines[3] ?? '', /^channels 4 +100.0 +100 +2.00/);
});
