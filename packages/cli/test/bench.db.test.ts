/**
 * Scenario: `tracelake bench pipeline` as a process, on a few small blocks.
 * Guarantees: every shape does all of the work, those in order write the same bytes, channels hold a bounded part, and
 * nothing is left behind.
 */

import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startTracelake } from './tracelake-process.ts';

interface Report {
  readonly shapes: readonly {
    readonly name: string;
    readonly shape: string;
    readonly channelDepth?: number;
    readonly run: {
      readonly events: number;
      readonly bytesOut: number;
      readonly heldBytesMax: number;
      readonly isInOrder: boolean;
      readonly sha256: string;
      readonly stageMs: Readonly<Record<string, number>>;
    };
  }[];
  readonly explanation: readonly string[];
}

let directory: string;
before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tracelake-bench-test-'));
});
after(() => rm(directory, { recursive: true, force: true }));

async function bench(...argv: string[]): Promise<{ report: Report; stderr: string }> {
  const command = ['bench', 'pipeline', '--json', '--rounds', '1', '--dir', directory, ...argv];
  const { status, stdout, stderr } = await startTracelake(command, directory).ended;
  assert.equal(status, 0, stderr);
  return { report: JSON.parse(stdout.toString()) as Report, stderr };
}

const sizes = ['--blocks', '40', '--events', '1400', '--workers', '2'];

test('every shape writes all blocks, in order where it promises to, and channels hold a bounded part', async () => {
  const { report, stderr } = await bench(...sizes, '--channel-depth', '1,4');
  const names = report.shapes.map(({ name }) => name);
  assert.deepEqual(names, ['sequential', 'mutex', 'channels 1', 'channels 4']);
  const [sequential] = report.shapes;
  for (const { name, shape, channelDepth = 0, run } of report.shapes) {
    assert.equal(run.events, 40 * 1400, name);
    assert.equal(run.bytesOut, sequential?.run.bytesOut, name);
    if (shape === 'mutex') continue;
    assert(run.isInOrder, name);
    assert.equal(run.sha256, sequential?.run.sha256, name);
    const blocksHeld = shape === 'channels' ? 2 * channelDepth + 2 * 2 + 2 : 1;
    assert(run.heldBytesMax <= blocksHeld * (run.bytesOut / 40), `${name}: ${run.heldBytesMax}`);
  }
  const waits = Object.keys(report.shapes.at(-1)?.run.stageMs ?? {});
  for (const wait of ['reader input', 'worker busy', 'worker input', 'writer busy', 'writer input'])
    assert(waits.includes(wait), wait);
  assert.match(report.explanation[0] ?? '', /sets? the pace/);
  assert.match(stderr, /run 4 of 4: channels 4/);
  assert.deepEqual(await readdir(directory), [], 'what it wrote is gone');
});

test('blocks of a recording can be measured, and a table explains them', async () => {
  const sample = fileURLToPath(new URL('../sample', import.meta.url));
  const argv = ['bench', 'pipeline', '--input', sample, '--blocks', '8', '--channel-depth', '2'];
  const run = startTracelake([...argv, '--rounds', '1', '--sync-each'], directory);
  const { status, stdout, stderr } = await run.ended;
  assert.equal(status, 0, stderr);
  const text = stdout.toString();
  for (const shape of ['sequential', 'mutex', 'channels 2'])
    assert.match(text, new RegExp(`^${shape} +\\d`, 'm'));
  assert.match(text, /^- At depth 2 .* pace/m);
});

test('without a name it lists what can be measured', async () => {
  const { status, stdout } = await startTracelake(['bench'], directory).ended;
  assert.equal(status, 0);
  assert.match(stdout.toString(), /^pipeline /m);
  assert.match(stdout.toString(), /^transit\/bench\/decode +How fast blocks become columns/m);
});
