import assert from 'node:assert/strict';
import { test } from 'node:test';
import { misbehavingBlock } from '../../test/misbehaving-block.ts';
import { DECODE, EAT_MEMORY, EXIT, HANG, THROW } from '../../test/misbehaving-view.ts';
import {
  type DecodeRequest,
  DecodeWorkerPool,
  type DecodeWorkerPoolOptions,
} from './decode-worker-pool.ts';

const never = new AbortController().signal;
const moduleUrl = new URL('../../test/misbehaving-view.ts', import.meta.url).href;

/** The view misbehaves as the block's `objectCount` says. */
function jobFor(behaviour: number): DecodeRequest {
  const reload = async () => misbehavingBlock(behaviour).payload;
  return { moduleUrl, reload, ...misbehavingBlock(behaviour) };
}

async function withPool(
  options: Partial<DecodeWorkerPoolOptions>,
  run: (pool: DecodeWorkerPool, replaced: string[]) => Promise<void>,
): Promise<void> {
  const replaced: string[] = [];
  await using pool = new DecodeWorkerPool({
    workers: 1,
    decodeTimeoutMs: 30_000,
    workerHeapMb: 64,
    onWorkerReplaced: (reason) => replaced.push(reason),
    ...options,
  });
  await run(pool, replaced);
}

test('a block comes back as what its view made of it, without a copy of its arrays', async () => {
  await withPool({}, async (pool) => {
    const outcome = await pool.decode(jobFor(DECODE), never);
    assert.equal(outcome.outcome, 'decoded');
    assert.deepEqual(outcome.outcome === 'decoded' && outcome.parsed, {
      values: Float64Array.of(1, 2, 3),
      hasObjects: true,
    });
  });
});

test('a block that its view refuses is undecodable at once and the worker goes on', async () => {
  await withPool({}, async (pool, replaced) => {
    const outcome = await pool.decode(jobFor(THROW), never);
    assert.deepEqual(outcome, { outcome: 'undecodable', reason: 'this block is bad' });
    assert.equal((await pool.decode(jobFor(DECODE), never)).outcome, 'decoded');
    assert.deepEqual(replaced, []);
  });
});

test('a stored object that is no payload is undecodable with the decoder’s reason', async () => {
  await withPool({}, async (pool) => {
    const job = { ...jobFor(DECODE), payload: Uint8Array.of(0xff, 0, 1) };
    const outcome = await pool.decode(job, never);
    assert.equal(outcome.outcome, 'undecodable');
    assert.match(outcome.outcome === 'undecodable' ? outcome.reason : '', /^transit\./);
  });
});

test('a worker that hangs is replaced, and the block is undecodable after a second try', async () => {
  await withPool({ decodeTimeoutMs: 300 }, async (pool, replaced) => {
    const outcome = await pool.decode(jobFor(HANG), never);
    assert.equal(outcome.outcome, 'undecodable');
    assert.equal(replaced.length, 2);
    assert.match(replaced[0] ?? '', /more than 300 ms/);
    assert.equal((await pool.decode(jobFor(DECODE), never)).outcome, 'decoded');
  });
});

test('a block whose worker is lost is fetched once more for the next', async () => {
  await withPool({ decodeTimeoutMs: 300 }, async (pool, replaced) => {
    let reloads = 0;
    const { reload, ...hanging } = jobFor(HANG);
    const outcome = await pool.decode(
      {
        ...hanging,
        reload: async () => {
          reloads++;
          return await reload();
        },
      },
      never,
    );
    assert.equal(outcome.outcome, 'undecodable');
    assert.deepEqual([reloads, replaced.length], [1, 2]);
    assert.equal(hanging.payload.length, 0, 'the memory has moved');
  });
});

test('a payload that lies in the memory of others is copied', async () => {
  await withPool({}, async (pool) => {
    const job = jobFor(DECODE);
    const around = new Uint8Array(job.payload.length + 2);
    around.set(job.payload, 1);
    const payload = around.subarray(1, -1);
    assert.equal((await pool.decode({ ...job, payload }, never)).outcome, 'decoded');
    assert.equal(payload.length, around.length - 2);
  });
});

test('a worker that ends or runs out of memory is replaced', async () => {
  await withPool({}, async (pool, replaced) => {
    for (const behaviour of [EXIT, EAT_MEMORY]) {
      assert.equal((await pool.decode(jobFor(behaviour), never)).outcome, 'undecodable');
      assert.equal((await pool.decode(jobFor(DECODE), never)).outcome, 'decoded');
    }
    assert.equal(replaced.length, 4);
    assert.match(replaced[0] ?? '', /exited with status 7/);
    assert.match(replaced[2] ?? '', /memory/);
  });
});

test('more blocks than workers wait for their turn', async () => {
  await withPool({ workers: 2 }, async (pool) => {
    const jobs = Array.from({ length: 20 }, (_, index) =>
      pool.decode(jobFor(index % 5 === 4 ? EXIT : DECODE), never),
    );
    const outcomes = (await Promise.all(jobs)).map(({ outcome }) => outcome);
    assert.equal(outcomes.filter((outcome) => outcome === 'undecodable').length, 4);
    assert.equal(outcomes.filter((outcome) => outcome === 'decoded').length, 16);
  });
});

test('giving up stops the decoder at once, and the pool serves others', async () => {
  await withPool({}, async (pool, replaced) => {
    const controller = new AbortController();
    const hanging = pool.decode(jobFor(HANG), controller.signal);
    const waiting = pool.decode(jobFor(DECODE), controller.signal);
    setTimeout(() => controller.abort(new Error('enough')), 100);
    await assert.rejects(hanging, /enough/);
    await assert.rejects(waiting, /enough/);
    assert.equal((await pool.decode(jobFor(DECODE), never)).outcome, 'decoded');
    assert.deepEqual(replaced, []);
  });
});

test('closing the pool fails what is under way as retryable', async () => {
  let hanging: Promise<unknown> = Promise.resolve();
  await withPool({}, async (pool) => {
    hanging = pool.decode(jobFor(HANG), never);
    hanging.catch(() => {});
    await new Promise((resolve) => setTimeout(resolve, 50));
  });
  await assert.rejects(hanging, { code: 'materializer.stopping', retryable: true });
});

test('a view that cannot be loaded is no fault of the block', async () => {
  await withPool({}, async (pool) => {
    const job = { ...jobFor(DECODE), moduleUrl: new URL('no-such-view.ts', moduleUrl).href };
    await assert.rejects(pool.decode(job, never), { code: 'materializer.view-not-loaded' });
  });
});
