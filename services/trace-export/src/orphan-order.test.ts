import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type OrderedRow, OrphanOrder } from './orphan-order.ts';

function row(
  id: number,
  begin: number,
  end: number,
  options: Partial<OrderedRow> = {},
): OrderedRow {
  return {
    id: BigInt(id),
    depth: 1,
    begin: BigInt(begin),
    end: BigInt(end),
    open: false,
    ...options,
  };
}

function orderOf(chain: { begin: number; end: number }, rows: readonly OrderedRow[]): number[] {
  const ids: number[] = [];
  const order = new OrphanOrder<OrderedRow>((passed) => ids.push(Number(passed.id)));
  order.openChain(BigInt(chain.begin), BigInt(chain.end));
  for (const one of rows) order.push(one);
  order.flush();
  return ids;
}

const open = { open: true };

test('spans whose begins are missing come outermost first, before all that begins with the chain', () => {
  const ids = orderOf({ begin: 0, end: 100 }, [
    row(1, 0, 5),
    row(4, 0, 20, open),
    row(5, 0, 30, open),
    row(9, 0, 10, { ...open, depth: 1 }),
    row(12, 40, 50),
  ]);
  assert.deepEqual(ids, [5, 4, 9, 1, 12]);
});

test('a span that never ended keeps its place among those of its time', () => {
  const ids = orderOf({ begin: 0, end: 100 }, [
    row(1, 0, 0),
    row(2, 0, 100, open),
    row(3, 0, 7, { depth: 2 }),
    row(8, 0, 50, open),
  ]);
  assert.deepEqual(ids, [8, 1, 2, 3]);
});

test('later rows pass as they come, open ones too', () => {
  const rows = [row(1, 0, 5), row(2, 6, 9, open), row(3, 6, 20, open), row(4, 7, 8)];
  assert.deepEqual(orderOf({ begin: 0, end: 20 }, rows), [1, 2, 3, 4]);
});

test('more rows at one time than the look-ahead all come, in the order they had', () => {
  const rows = Array.from({ length: 10_000 }, (_, i) => row(i, 0, 5));
  assert.deepEqual(
    orderOf({ begin: 0, end: 20 }, rows),
    rows.map(({ id }) => Number(id)),
  );
});

test('rows are held only while a chain begins', () => {
  const order = new OrphanOrder<OrderedRow>(() => {});
  assert.equal(order.isCollecting, false);
  order.openChain(0n, 9n);
  order.push(row(1, 0, 1));
  assert.equal(order.isCollecting, true);
  order.push(row(2, 1, 2));
  assert.equal(order.isCollecting, false);
});
