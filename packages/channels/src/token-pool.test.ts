import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { test } from 'node:test';
import { TokenPool } from './token-pool.ts';

test('no more tokens are out than there are, and whoever waited first gets the next', async () => {
  const pool = new TokenPool(2);
  const first = await pool.acquire();
  await pool.acquire();
  assert.equal(pool.available, 0);
  const order: string[] = [];
  const third = pool.acquire().then((token) => {
    order.push('third');
    return token;
  });
  const fourth = pool.acquire().then(() => order.push('fourth'));
  first[Symbol.dispose]();
  const token = await third;
  assert.deepEqual(order, ['third']);
  assert.equal(pool.inUse, 2);
  token[Symbol.dispose]();
  await fourth;
});

test('a token given back twice counts once', async () => {
  const pool = new TokenPool(1);
  const token = await pool.acquire();
  token[Symbol.dispose]();
  token[Symbol.dispose]();
  assert.equal(pool.available, 1);
  assert.equal(pool.inUse, 0);
});

test('a pool is crowded by as many users as it has tokens, each counted once and until it leaves', () => {
  const pool = new TokenPool(2);
  const first = pool.enter();
  assert.equal(pool.isCrowded, false);
  pool.enter();
  assert.deepEqual([pool.users, pool.isCrowded, pool.inUse], [2, true, 0]);
  first[Symbol.dispose]();
  first[Symbol.dispose]();
  assert.deepEqual([pool.users, pool.isCrowded], [1, false]);
});

test('an aborted wait gets no token and leaves no listener', async () => {
  const pool = new TokenPool(1);
  const held = await pool.acquire();
  const controller = new AbortController();
  const waiting = pool.acquire(controller.signal);
  controller.abort(new Error('deadline'));
  await assert.rejects(waiting, /deadline/);
  assert.equal(getEventListeners(controller.signal, 'abort').length, 0);
  held[Symbol.dispose]();
  assert.equal(pool.available, 1);
  await assert.rejects(pool.acquire(controller.signal), /deadline/);
  assert.equal(pool.available, 1);
});
