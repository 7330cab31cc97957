import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Batcher, type BatcherOptions } from './batcher.ts';

const never = new AbortController().signal;

/** Doubles numbers; each run waits until it is let go. */
function makeBatcher(options: Partial<BatcherOptions<number, number>> = {}) {
  const batches: number[][] = [];
  const gates: (() => void)[] = [];
  const batcher = new Batcher<number, number>({
    run: async (items) => {
      batches.push([...items]);
      await new Promise<void>((resolve) => gates.push(resolve));
      return items.map((item) => item * 2);
    },
    failsEachAlike: () => false,
    itemsMax: 100,
    concurrency: 1,
    waitingMax: 1000,
    timeoutMs: 5000,
    ...options,
  });
  const turn = () => new Promise((resolve) => setImmediate(resolve));
  const letGo = async () => {
    await turn();
    for (const open of gates.splice(0)) open();
    await turn();
  };
  return { batcher, batches, letGo };
}

/** Fails a batch that holds any of the poisoned numbers. */
function makePoisoned(
  poisoned: readonly number[],
  options: Partial<BatcherOptions<number, number>> = {},
) {
  const batches: number[][] = [];
  const batcher = new Batcher<number, number>({
    run: async (items) => {
      batches.push([...items]);
      if (items.some((item) => poisoned.includes(item))) throw new Error('poisoned');
      return items.map((item) => item * 2);
    },
    failsEachAlike: () => false,
    itemsMax: 1000,
    concurrency: 1,
    waitingMax: 1000,
    timeoutMs: 5000,
    ...options,
  });
  return { batcher, batches };
}

test('what comes while a run is under way goes together with the next, each with its own result', async () => {
  const { batcher, batches, letGo } = makeBatcher();
  const first = batcher.submit(1, never);
  const firstGo = letGo();
  await new Promise((resolve) => setImmediate(resolve));
  const rest = [2, 3, 4].map((item) => batcher.submit(item, never));
  assert.equal(batcher.depth, 3);
  await firstGo;
  await letGo();
  assert.deepEqual(await Promise.all([first, ...rest]), [2, 4, 6, 8]);
  assert.deepEqual(batches, [[1], [2, 3, 4]]);
});

test('a batch holds no more than it may, and no more runs than allowed are under way', async () => {
  const { batcher, batches, letGo } = makeBatcher({ itemsMax: 2, concurrency: 2 });
  const results = [1, 2, 3, 4, 5].map((item) => batcher.submit(item, never));
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(batches, [
    [1, 2],
    [3, 4],
  ]);
  await letGo();
  await letGo();
  assert.deepEqual(await Promise.all(results), [2, 4, 6, 8, 10]);
});

test('items that cannot succeed fail alone, wherever they stand in their batch', async () => {
  for (const poisoned of [[0], [7], [31], [3, 4], [0, 31], []]) {
    const { batcher, batches } = makePoisoned(poisoned);
    const items = Array.from({ length: 32 }, (_, index) => index);
    const results = await Promise.allSettled(items.map((item) => batcher.submit(item, never)));
    for (const [item, result] of results.entries()) {
      if (poisoned.includes(item)) assert.equal(result.status, 'rejected');
      else assert.deepEqual(result, { status: 'fulfilled', value: item * 2 });
    }
    assert.ok(batches.length <= 1 + 2 * 5 * poisoned.length, `${batches.length} runs`);
  }
});

test('a failure that would meet each alike fails each of the batch, in one run', async () => {
  const { batcher, batches } = makePoisoned([3], { failsEachAlike: () => true });
  const results = await Promise.allSettled([1, 2, 3, 4].map((item) => batcher.submit(item, never)));
  assert.ok(results.every((result) => result.status === 'rejected'));
  assert.equal(batches.length, 1);
  assert.equal(await batcher.submit(5, never), 10);
});

test('more than may wait are refused, and the others are served', async () => {
  const { batcher, letGo } = makeBatcher({ waitingMax: 2 });
  const results = [batcher.submit(1, never), batcher.submit(2, never)];
  await assert.rejects(batcher.submit(3, never), { code: 'ingest.overloaded', retryable: true });
  await letGo();
  assert.deepEqual(await Promise.all(results), [2, 4]);
});

test('an item whose signal fires leaves the queue, and its neighbours stay', async () => {
  const { batcher, batches, letGo } = makeBatcher();
  const abort = new AbortController();
  const reason = new Error('enough');
  const given = batcher.submit(1, abort.signal);
  const kept = batcher.submit(2, never);
  abort.abort(reason);
  await assert.rejects(given, reason);
  await letGo();
  assert.equal(await kept, 4);
  assert.deepEqual(batches, [[2]]);
  await assert.rejects(batcher.submit(3, abort.signal), reason);
});

test('an item whose signal fires during its run is let go at once', async () => {
  const { batcher, letGo } = makeBatcher();
  const abort = new AbortController();
  const given = batcher.submit(1, abort.signal);
  const kept = batcher.submit(2, never);
  await new Promise((resolve) => setImmediate(resolve));
  abort.abort(new Error('enough'));
  await assert.rejects(given, { message: 'enough' });
  await letGo();
  assert.equal(await kept, 4);
});
