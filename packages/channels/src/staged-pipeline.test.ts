import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { runStagedPipeline } from './staged-pipeline.ts';
import { TokenPool } from './token-pool.ts';

interface Reading {
  readonly items: AsyncIterable<number>;
  readonly readCount: () => number;
}

function numbers(count: number): Reading {
  let read = 0;
  return {
    readCount: () => read,
    items: (async function* () {
      for (let n = 0; n < count; n++) {
        read++;
        yield n;
      }
    })(),
  };
}

test('results are written in the order they were read whatever each one takes', async () => {
  const written: number[] = [];
  await runStagedPipeline({
    read: numbers(200).items,
    work: async (n) => {
      await sleep((n * 7) % 5);
      return n * 2;
    },
    write: async (result) => {
      written.push(result);
    },
    workers: 4,
    cpuTokens: new TokenPool(3),
    channelDepth: 2,
  });
  assert.deepEqual(
    written,
    [...Array(200).keys()].map((n) => n * 2),
  );
});

test('no more than the bound is between reader and writer while the writer is slow', async () => {
  const reading = numbers(60);
  let written = 0;
  let widest = 0;
  await runStagedPipeline({
    read: reading.items,
    work: async (n) => n,
    write: async () => {
      widest = Math.max(widest, reading.readCount() - written);
      await sleep(1);
      written++;
    },
    workers: 2,
    cpuTokens: new TokenPool(2),
    channelDepth: 3,
  });
  assert.equal(written, 60);
  assert.ok(widest <= 2 * 3 + 2 + 2, `${widest} items in flight`);
});

test('at most as many compute at once as there are tokens', async () => {
  const cpuTokens = new TokenPool(2);
  let active = 0;
  let most = 0;
  const run = () =>
    runStagedPipeline({
      read: numbers(20).items,
      work: async () => {
        active++;
        most = Math.max(most, active);
        await sleep(1);
        active--;
      },
      write: async () => {},
      workers: 4,
      cpuTokens,
      channelDepth: 4,
    });
  await Promise.all([run(), run(), run()]);
  assert.equal(most, 2);
  assert.equal(cpuTokens.inUse, 0);
});

for (const stage of ['reader', 'worker', 'writer'] as const) {
  test(`a failing ${stage} ends the pipeline with its own error and frees every token`, async () => {
    const failure = new Error(`${stage} failed`);
    const failAt = (here: string, n: number) => {
      if (here === stage && n === 7) throw failure;
    };
    const cpuTokens = new TokenPool(1);
    const read = (async function* () {
      for (let n = 0; ; n++) {
        failAt('reader', n);
        yield n;
      }
    })();
    await assert.rejects(
      runStagedPipeline({
        read,
        work: async (n) => {
          failAt('worker', n);
          return n;
        },
        write: async (n) => failAt('writer', n),
        workers: 3,
        cpuTokens,
        channelDepth: 2,
      }),
      failure,
    );
    assert.equal(cpuTokens.inUse, 0);
  });
}

test('the caller can abort it while every stage waits', async () => {
  const stop = new AbortController();
  const cpuTokens = new TokenPool(1);
  const running = runStagedPipeline({
    read: numbers(1000).items,
    work: async (n) => n,
    write: (_result, signal) => sleep(60_000, undefined, { signal }),
    workers: 2,
    cpuTokens,
    channelDepth: 1,
    signal: stop.signal,
  });
  await sleep(5);
  stop.abort(new Error('shutting down'));
  await assert.rejects(running, /shutting down/);
  assert.equal(cpuTokens.inUse, 0);
});

test('nothing to read is nothing to write', async () => {
  await runStagedPipeline({
    read: numbers(0).items,
    work: async (n) => n,
    write: async () => assert.fail('nothing was read'),
    workers: 1,
    cpuTokens: new TokenPool(1),
    channelDepth: 1,
  });
});
