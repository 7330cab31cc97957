import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type BlockId,
  type BlockInfo,
  nanoseconds,
  type ProcessInfo,
  ticks,
} from '@tracelake/domain';
import { seededRandom } from '@tracelake/test-kit';
import { makeContext, START_NS } from '../test/synthetic-stream.ts';
import { calibrate, chooseCalibrationEvidence } from './calibration.ts';

const known = makeContext().process;
const unknown: ProcessInfo = { ...known, tscFrequencyHz: 0n };

function block(id: string, elapsedMs: number, endTicks: bigint): BlockInfo {
  return {
    ...{ blockId: id as BlockId, objectCount: 1, objectOffset: 0n },
    streamId: [...makeContext().streams.keys()][0] as BlockInfo['streamId'],
    ...{ processId: known.processId, beginNs: known.startNs, beginTicks: ticks(0n) },
    endNs: nanoseconds(START_NS + BigInt(Math.round(elapsedMs * 1e6))),
    endTicks: ticks(endTicks),
  };
}

function evidenceOf(blocks: BlockInfo[]): string | undefined {
  return chooseCalibrationEvidence(unknown, blocks)?.blockId;
}

test('a frequency that is known is used, and no block is evidence', () => {
  assert.equal(chooseCalibrationEvidence(known, [block('a', 10, 10n)]), undefined);
  assert.equal(calibrate(known, undefined).frequencyHz, 1e9);
});

test('the frequency is the ticks of the evidence over its time, rounded', () => {
  const { frequencyHz } = calibrate(unknown, block('a', 1000, 2_500_000_001n));
  assert.equal(frequencyHz, 2_500_000_001);
  assert.equal(calibrate(unknown, block('a', 3, 10n)).frequencyHz, 3333);
});

test('the evidence is the first block by ticks that reached the largest power of two', () => {
  // The largest is 700 ms, so 512 ms is the mark.
  const blocks = [
    block('a', 300, 3n),
    block('b', 600, 6n),
    block('c', 700, 7n),
    block('d', 512, 5n),
  ];
  assert.equal(evidenceOf(blocks), 'd');
  assert.equal(evidenceOf(blocks.slice(0, 3)), 'b');
  assert.equal(evidenceOf([block('y', 512, 5n), block('x', 600, 5n)]), 'x', 'then by id');
});

test('the mark is exact at powers of two and below a millisecond', () => {
  assert.equal(evidenceOf([block('a', 1024, 9n), block('b', 1023.999999, 1n)]), 'a');
  assert.equal(evidenceOf([block('a', 1023.999999, 9n), block('b', 512, 1n)]), 'b');
  assert.equal(evidenceOf([block('a', 0.5, 9n), block('b', 0.499999, 1n)]), 'a');
  assert.equal(evidenceOf([block('a', 2 ** 40, 9n), block('b', 2 ** 40 - 0.001, 1n)]), 'a');
});

test('blocks that end no later than the process began tell nothing', () => {
  assert.equal(evidenceOf([]), undefined);
  assert.equal(evidenceOf([block('a', 0, 5n), block('b', -10, 5n)]), undefined);
});

test('a clock that tells nothing still gives a scale', () => {
  for (const evidence of [undefined, block('a', 10, 0n), block('a', 10, -5n), block('a', 0, 5n)])
    assert.equal(calibrate(unknown, evidence).frequencyHz, 1e9);
});

test('the order of blocks does not matter, nor do blocks that come while the mark stands', () => {
  for (let seed = 1; seed <= 500; seed++) {
    const random = seededRandom(seed);
    const blocks = Array.from({ length: 1 + random.int(20) }, (_, index) =>
      block(`b${index}`, random.next() * 1000, BigInt(random.int(50))),
    );
    const evidence = evidenceOf(blocks);
    assert.equal(evidenceOf(random.shuffle([...blocks])), evidence, `seed ${seed}`);
  }
});

test('the evidence changes at most with the logarithm of the life of a process', () => {
  const blocks: BlockInfo[] = [];
  const seen = new Set<string>();
  for (let index = 1; index <= 4096; index++) {
    blocks.push(block(`b${index}`, index, BigInt(index) * 1_000_000n));
    if (index % 16 === 0) seen.add(evidenceOf(blocks) ?? '');
  }
  assert(seen.size <= 13, `${seen.size} times`);
});
