import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '@tracelake/test-kit';
import type { Column } from './row-columns.ts';
import { canonicalDictionaries, reorderRows, sortedOrder } from './row-order.ts';

test('rows are sorted by all keys, and equal ones keep their order', () => {
  for (let seed = 1; seed <= 500; seed++) {
    const random = seededRandom(seed);
    const count = random.int(60);
    const wide = random.int(4) === 0 ? 2n ** 60n : 1n;
    const first = BigInt64Array.from({ length: count }, () => wide * BigInt(random.int(5) - 2));
    const second = Uint32Array.from({ length: count }, () => random.int(3));
    const third = Float64Array.from({ length: count }, () => random.int(3) - 1);
    const keys = [first, second, third];
    const expected = [...Array(count).keys()].sort((a, b) => {
      for (const key of keys) {
        const [x, y] = [key[a] ?? 0, key[b] ?? 0];
        if (x !== y) return x < y ? -1 : 1;
      }
      return a - b;
    });
    const order = sortedOrder(keys, count) ?? [...Array(count).keys()];
    assert.deepEqual([...order], expected, `seed ${seed}`);
  }
});

test('keys for ties are asked for once, when there is a tie, and decide it', () => {
  const times = BigInt64Array.of(5n, 3n, 5n, 3n, 1n);
  let asked = 0;
  const ties = () => {
    asked += 1;
    return [Uint32Array.of(2, 9, 1, 4, 7)];
  };
  assert.deepEqual(sortedOrder([times], 5, ties), Uint32Array.of(4, 3, 1, 2, 0));
  assert.equal(asked, 1);
  sortedOrder([BigInt64Array.of(3n, 1n, 2n)], 3, ties);
  assert.equal(asked, 1);
});

test('rows that are in order are left alone', () => {
  assert.equal(sortedOrder([BigInt64Array.of(1n, 1n, 2n)], 3), undefined);
  assert.equal(sortedOrder([], 0), undefined);
});

test('every type of column follows the order', () => {
  const columns: Column[] = [
    { type: 'i64', values: BigInt64Array.of(1n, 2n, 3n) },
    { type: 'timestamp', values: BigInt64Array.of(1n, 2n, 3n) },
    { type: 'i32', values: Int32Array.of(-1, -2, -3) },
    { type: 'u32', values: Uint32Array.of(1, 2, 3) },
    { type: 'f64', values: Float64Array.of(0.1, 0.2, 0.3) },
    { type: 'bool', values: Uint8Array.of(1, 0, 1) },
    { type: 'string', codes: Uint32Array.of(0, 1, 2), dictionary: ['a', 'b', 'c'] },
  ];
  const { columns: reordered } = reorderRows({ rowCount: 3, columns }, Uint32Array.of(2, 0, 1));
  assert.deepEqual(
    reordered.map((column) => [...(column.type === 'string' ? column.codes : column.values)]),
    [
      [3n, 1n, 2n],
      [3n, 1n, 2n],
      [-3, -1, -2],
      [3, 1, 2],
      [0.3, 0.1, 0.2],
      [1, 1, 0],
      [2, 0, 1],
    ],
  );
});

test('dictionaries hold what rows use, in order of first use', () => {
  const column: Column = {
    type: 'string',
    codes: Uint32Array.of(3, 1, 3),
    dictionary: ['unused', 'b', 'unused too', 'a'],
  };
  const rows = canonicalDictionaries({ rowCount: 3, columns: [column] });
  assert.deepEqual(rows.columns, [
    { type: 'string', codes: Uint32Array.of(0, 1, 0), dictionary: ['a', 'b'] },
  ]);
});
