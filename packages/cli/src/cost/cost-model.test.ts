import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  costOfKeeping,
  costOfMillionEvents,
  examplePrices,
  exampleUsage,
  type LakeHoldings,
  shortNumber,
} from './cost-model.ts';

/** A million events in blocks of 33,600, as the worked example of docs/sizing.md has them. */
const holdings: LakeHoldings = {
  events: 33_600_000,
  blocks: 1000,
  rawBytes: 33_600_000 * 6.4,
  partitionFiles: 67,
  partitionBytes: 33_600_000 * 2.85,
};

test('the worked example comes out as the documentation has it', () => {
  const parts = costOfMillionEvents(holdings, examplePrices, exampleUsage) ?? [];
  const costs = Object.fromEntries(parts.map(({ name, cost }) => [name, shortNumber(cost)]));
  assert.deepEqual(costs, {
    storage: '0.000213',
    requests: '0.000171',
    compute: '0.00000711',
    catalog: '0.00000126',
  });
});

test('each price moves its own part, and only that', () => {
  const before = costOfMillionEvents(holdings, examplePrices, exampleUsage) ?? [];
  const moves = {
    storageGbMonth: 'storage',
    millionWrites: 'requests',
    millionReads: 'requests',
    coreHour: 'compute',
    diskGbMonth: 'catalog',
  } as const;
  for (const [price, part] of Object.entries(moves)) {
    const prices = { ...examplePrices, [price]: 100 };
    const after = costOfMillionEvents(holdings, prices, exampleUsage) ?? [];
    const moved = after.filter(({ cost }, index) => cost !== before[index]?.cost);
    assert.deepEqual(
      moved.map(({ name }) => name),
      [part],
    );
  }
});

test('keeping twice as long doubles what is kept and nothing else', () => {
  const usage = { ...exampleUsage, monthsKept: 2 };
  const once = costOfMillionEvents(holdings, examplePrices, exampleUsage) ?? [];
  const twice = costOfMillionEvents(holdings, examplePrices, usage) ?? [];
  const ratios = twice.map(({ cost }, index) => cost / (once[index]?.cost ?? 0));
  assert.deepEqual(ratios, [2, 1, 1, 2]);
});

test('a lake without events has no cost of a million, and costs nothing to keep', () => {
  const empty = { events: 0, blocks: 0, rawBytes: 0, partitionFiles: 0, partitionBytes: 0 };
  assert.equal(costOfMillionEvents(empty, examplePrices, exampleUsage), undefined);
  assert.equal(costOfKeeping(empty, examplePrices), 0);
  const terabyte = { ...empty, rawBytes: 6e11, partitionBytes: 4e11 };
  assert.equal(costOfKeeping(terabyte, examplePrices), 23);
});

test('numbers have three digits', () => {
  const cases: [number, string][] = [
    [0, '0'],
    [9.249, '9.25'],
    [30, '30'],
    [123.4, '123'],
    [1299.6, '1300'],
    [0.000213, '0.000213'],
  ];
  for (const [value, text] of cases) assert.equal(shortNumber(value), text);
});
