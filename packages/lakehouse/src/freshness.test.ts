import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decideFreshness, overlapsInclusive, type PartitionSource } from './freshness.ts';

function source(begin: number, end: number, sourceHash = 'source', schemaHash = 'schema') {
  return { beginInsertUs: BigInt(begin), endInsertUs: BigInt(end), sourceHash, schemaHash };
}

const CURRENT = { kind: 'current' };
const MISSING = { kind: 'missing' };
const SOURCE_CHANGED = { kind: 'stale', reason: 'source-changed' };
const SCHEMA_CHANGED = { kind: 'stale', reason: 'schema-changed' };

const overlapCases: readonly [string, [number, number], [number, number], boolean][] = [
  ['identical', [10, 20], [10, 20], true],
  ['identical and of zero length', [10, 10], [10, 10], true],
  ['touching at the first end', [20, 30], [10, 20], true],
  ['touching at the last end', [10, 20], [20, 30], true],
  ['zero length at the begin', [10, 10], [10, 20], true],
  ['zero length at the end', [20, 20], [10, 20], true],
  ['zero length inside', [15, 15], [10, 20], true],
  ['around', [5, 25], [10, 20], true],
  ['inside', [12, 18], [10, 20], true],
  ['crossing the begin', [5, 15], [10, 20], true],
  ['crossing the end', [15, 25], [10, 20], true],
  ['adjacent, a microsecond before', [5, 9], [10, 20], false],
  ['adjacent, a microsecond after', [21, 25], [10, 20], false],
  ['zero length, a microsecond before', [9, 9], [10, 20], false],
  ['zero length, a microsecond after', [21, 21], [10, 20], false],
  ['disjoint', [30, 40], [10, 20], false],
  ['two instants of zero length apart', [10, 10], [11, 11], false],
];

for (const [name, a, b, overlaps] of overlapCases) {
  test(`ranges ${name}: ${overlaps ? 'overlap' : 'do not overlap'}, from either side`, () => {
    assert.equal(overlapsInclusive(source(...a), source(...b)), overlaps);
    assert.equal(overlapsInclusive(source(...b), source(...a)), overlaps);
  });
}

test('overlap is sharing an instant, for all small ranges', () => {
  for (let a = 0; a < 5; a++)
    for (let b = a; b < 5; b++)
      for (let c = 0; c < 5; c++)
        for (let d = c; d < 5; d++) {
          const shared = [0, 1, 2, 3, 4].some((at) => a <= at && at <= b && c <= at && at <= d);
          assert.equal(overlapsInclusive(source(a, b), source(c, d)), shared, `${[a, b, c, d]}`);
        }
});

const decisionCases: readonly [string, PartitionSource | undefined, PartitionSource, object][] = [
  ['a partition identical to what is wanted is current', source(10, 20), source(10, 20), CURRENT],
  ['so is one of zero length', source(10, 10), source(10, 10), CURRENT],
  ['no partition is missing', undefined, source(10, 20), MISSING],
  ['one that only touches is a candidate', source(20, 30, 'other'), source(10, 20), SOURCE_CHANGED],
  ['an adjacent one is as good as none', source(21, 30), source(10, 20), MISSING],
  ['a disjoint one is as good as none', source(50, 60), source(10, 20), MISSING],
  [
    'a new block in range makes it stale',
    source(10, 20, 'b1'),
    source(10, 20, 'b1 b2'),
    SOURCE_CHANGED,
  ],
  [
    'a new block past its end makes it stale',
    source(10, 20, 'b1'),
    source(10, 25, 'b1 b2'),
    SOURCE_CHANGED,
  ],
  ['a deleted block makes it stale', source(10, 20, 'b1 b2'), source(10, 15, 'b1'), SOURCE_CHANGED],
  [
    'a changed schema makes it stale',
    source(10, 20, 's', 'old'),
    source(10, 20, 's', 'new'),
    SCHEMA_CHANGED,
  ],
  [
    'a changed schema tells before a changed source',
    source(10, 20, 'a', 'old'),
    source(10, 20, 'b', 'new'),
    SCHEMA_CHANGED,
  ],
];

for (const [name, partition, wanted, decision] of decisionCases) {
  test(name, () => assert.deepEqual(decideFreshness(partition, wanted), decision));
}
