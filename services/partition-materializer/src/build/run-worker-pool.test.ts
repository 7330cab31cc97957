import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RunContext, SourceBlock, ViewSet } from '@tracelake/lakehouse';
import { misbehavingBlock } from '../../test/misbehaving-block.ts';
import {
  EXIT,
  FOLD,
  HANG,
  MANY_ROWS,
  view as misbehaving,
  THROW,
} from '../../test/misbehaving-run.ts';
import * as parsing from '../../test/misbehaving-view.ts';
import { type RemoteRun, RunWorkerPool, type RunWorkerPoolOptions } from './run-worker-pool.ts';

const view = misbehaving as unknown as ViewSet;
const context = { streams: new Map() } as unknown as RunContext;
const block = {} as unknown as SourceBlock;
const never = new AbortController().signal;

let dir = '';
before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'tracelake-runs-'));
});
after(() => rm(dir, { recursive: true, force: true }));

async function withPool(
  options: Partial<RunWorkerPoolOptions>,
  work: (pool: RunWorkerPool, lost: string[]) => Promise<void>,
): Promise<void> {
  const lost: string[] = [];
  await using pool = new RunWorkerPool({
    workers: 1,
    decodeTimeoutMs: 20_000,
    onWorkerLost: (reason) => lost.push(reason),
    ...options,
  });
  await work(pool, lost);
}

function start(pool: RunWorkerPool, behaviour: number): Promise<RemoteRun> {
  return pool.startRun({ view, context, carryIn: Uint8Array.of(behaviour) });
}

function fileAt(name: string) {
  return { path: join(dir, name), rowGroupRows: 1000, metadata: {} };
}

test('blocks move to the worker, and their rows come to stand in the file', async () => {
  await withPool({}, async (pool) => {
    await using run = await start(pool, FOLD);
    const values = Float64Array.of(1, 2, 3);
    await run.add(block, { values }, never);
    assert.equal(values.length, 0, 'the array has moved');
    await run.add(block, { values: Float64Array.of(4) }, never);
    const finished = await run.finish(fileAt('moved.parquet'), never);
    assert.equal(finished.rowCount, 4);
    assert.ok(finished.sizeBytes > 0);
    assert.deepEqual(finished.carryOut, Uint8Array.of(FOLD));
  });
  assert.deepEqual(await readdir(dir), ['moved.parquet']);
});

test('a run without rows leaves no file', async () => {
  await withPool({}, async (pool) => {
    await using run = await start(pool, FOLD);
    const { rowCount, sizeBytes } = await run.finish(fileAt('empty.parquet'), never);
    assert.deepEqual({ rowCount, sizeBytes }, { rowCount: 0, sizeBytes: 0 });
  });
  assert.ok(!(await readdir(dir)).includes('empty.parquet'));
});

test('runs share a worker, and one that fails leaves the other as it is', async () => {
  await withPool({}, async (pool, lost) => {
    await using good = await start(pool, FOLD);
    await using bad = await start(pool, THROW);
    await good.add(block, { values: Float64Array.of(1) }, never);
    await assert.rejects(bad.finish(fileAt('bad.parquet'), never), /this run is bad/);
    assert.equal((await good.finish(fileAt('good.parquet'), never)).rowCount, 1);
    assert.deepEqual(lost, []);
  });
});

test('errors keep their code and whether trying again may help', async () => {
  await withPool({}, async (pool) => {
    await using run = await start(pool, FOLD);
    await run.add(block, { values: Float64Array.of(1) }, never);
    const nowhere = { path: join(dir, 'missing', 'x.parquet'), rowGroupRows: 1000, metadata: {} };
    const failure = { code: 'parquet.write-failed', retryable: true };
    await assert.rejects(run.finish(nowhere, never), failure);
  });
});

test('a worker that ends takes its runs with it, and the next run gets another', async () => {
  await withPool({}, async (pool, lost) => {
    await using other = await start(pool, FOLD);
    await using run = await start(pool, EXIT);
    const failure = { code: 'materializer.run-worker-lost', retryable: true };
    await assert.rejects(run.add(block, { values: Float64Array.of(1) }, never), failure);
    await assert.rejects(other.finish(fileAt('other.parquet'), never), failure);
    assert.equal(lost.length, 1);
    await using next = await start(pool, FOLD);
    assert.equal((await next.finish(fileAt('next.parquet'), never)).rowCount, 0);
  });
});

test('giving up in the middle of a file leaves nothing of it, and the worker goes on', async () => {
  await withPool({}, async (pool, lost) => {
    await using run = await start(pool, MANY_ROWS);
    const controller = new AbortController();
    const finishing = run.finish(fileAt('given-up.parquet'), controller.signal);
    setTimeout(() => controller.abort(new Error('enough')), 300);
    await assert.rejects(finishing, { code: 'parquet.aborted' });
    assert.deepEqual(
      (await readdir(dir)).filter((name) => name.startsWith('given-up')),
      [],
    );
    await using next = await start(pool, FOLD);
    assert.equal((await next.finish(fileAt('after.parquet'), never)).rowCount, 0);
    assert.deepEqual(lost, []);
  });
});

test('giving up a block that hangs its worker ends the worker', async () => {
  await withPool({ dropMs: 100 }, async (pool, lost) => {
    await using run = await start(pool, HANG);
    const controller = new AbortController();
    const hanging = run.add(block, { values: Float64Array.of(1) }, controller.signal);
    setTimeout(() => controller.abort(new Error('enough')), 50);
    await assert.rejects(hanging, { code: 'materializer.run-worker-lost', retryable: true });
    assert.equal(lost.length, 1);
    await using next = await start(pool, FOLD);
    assert.equal((await next.finish(fileAt('free.parquet'), never)).rowCount, 0);
  });
});

test('closing the pool ends a worker that hangs and fails its run as retryable', async () => {
  let hanging: Promise<unknown> = Promise.resolve();
  await withPool({}, async (pool) => {
    const run = await start(pool, HANG);
    hanging = run.add(block, { values: Float64Array.of(1) }, never);
    hanging.catch(() => {});
    await sleep(50);
  });
  await assert.rejects(hanging, { code: 'materializer.stopping', retryable: true });
});

test('a view that cannot be loaded fails its run alone', async () => {
  await withPool({}, async (pool, lost) => {
    const missing = { ...view, moduleUrl: new URL('no-such-view.ts', import.meta.url).href };
    const request = { view: missing, context, carryIn: undefined };
    await assert.rejects(pool.startRun(request), { code: 'materializer.view-not-loaded' });
    assert.deepEqual(lost, []);
  });
});

test('a block is decoded on the thread of its run, and one that cannot be leaves the run as it was', async () => {
  await withPool({}, async (pool, lost) => {
    await using run = await start(pool, FOLD);
    const good = misbehavingBlock(parsing.DECODE);
    assert.deepEqual(await run.decodeAndAdd(good, never), { undecodable: undefined });
    assert.equal(good.payload.length, 0, 'the memory has moved');
    const bad = await run.decodeAndAdd(misbehavingBlock(parsing.THROW), never);
    assert.deepEqual(bad, { undecodable: 'this block is bad' });
    const { rowCount } = await run.finish(fileAt('decoded.parquet'), never);
    assert.equal(rowCount, 3);
    assert.ok(pool.mayDecode(good.input.block));
    assert.deepEqual(lost, []);
  });
});

for (const [what, behaviour] of [
  ['hangs', parsing.HANG],
  ['ends', parsing.EXIT],
] as const) {
  test(`a block that ${what} the thread of its run is not decoded there again`, async () => {
    await withPool({ decodeTimeoutMs: 300 }, async (pool, lost) => {
      await using run = await start(pool, FOLD);
      const bad = misbehavingBlock(behaviour);
      const failure = { code: 'materializer.run-worker-lost', retryable: true };
      await assert.rejects(run.decodeAndAdd(bad, never), failure);
      assert.equal(lost.length, 1);
      assert.ok(!pool.mayDecode(bad.input.block));
      await using next = await start(pool, FOLD);
      await next.decodeAndAdd(misbehavingBlock(parsing.DECODE), never);
    });
  });
}

test('giving up a run does not make its block suspect', async () => {
  await withPool({ dropMs: 50 }, async (pool) => {
    await using run = await start(pool, FOLD);
    const block = misbehavingBlock(parsing.HANG);
    const controller = new AbortController();
    const decoding = run.decodeAndAdd(block, controller.signal);
    setTimeout(() => controller.abort(new Error('enough')), 50);
    await assert.rejects(decoding, { code: 'materializer.run-worker-lost' });
    assert.ok(pool.mayDecode(block.input.block));
  });
});
