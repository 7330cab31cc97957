import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { test } from 'node:test';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { seededRandom } from '@tracelake/test-kit';
import { type PipelineObserver, withToken } from './pipeline-observer.ts';
import { runStagedPipeline, type StagedPipelineOptions } from './staged-pipeline.ts';
import { TokenPool } from './token-pool.ts';

interface Probe {
  written: number[];
  inFlight: number;
  maxInFlight: number;
  readerEnded: boolean;
}

function probe(): Probe {
  return { written: [], inFlight: 0, maxInFlight: 0, readerEnded: false };
}

async function* numbers(count: number, state: Probe): AsyncGenerator<number, void, undefined> {
  try {
    for (let item = 0; item < count; item++) {
      state.inFlight++;
      state.maxInFlight = Math.max(state.maxInFlight, state.inFlight);
      yield item;
    }
  } finally {
    state.readerEnded = true;
  }
}

type Options = Partial<StagedPipelineOptions<number, number>>;

function run(count: number, state: Probe, options: Options = {}): Promise<void> {
  return runStagedPipeline<number, number>({
    read: numbers(count, state),
    work: async (item) => item,
    write: async (item) => {
      state.inFlight--;
      state.written.push(item);
    },
    workers: 3,
    cpuTokens: new TokenPool(2),
    channelDepth: 4,
    ...options,
  });
}

test('results are written in the order read, however long each takes', async () => {
  for (let seed = 1; seed <= 100; seed++) {
    const random = seededRandom(seed);
    const state = probe();
    const [workers, channelDepth] = [1 + random.int(5), 1 + random.int(5)];
    await run(40, state, {
      workers,
      channelDepth,
      work: async (item) => {
        for (let turns = random.int(4); turns > 0; turns--) await nextTurn();
        return item;
      },
    });
    assert.deepEqual(state.written, [...Array(40).keys()], `seed ${seed}`);
    assert(state.maxInFlight <= 2 * channelDepth + 2 * workers + 1, `seed ${seed}`);
  }
});

test('a writer that stalls stops the reader after a bounded number of items', async () => {
  const state = probe();
  const { promise: stalled, resolve: resume } = Promise.withResolvers<void>();
  const running = run(1000, state, {
    write: async (item) => {
      if (item === 0) await stalled;
      state.inFlight--;
      state.written.push(item);
    },
  });
  await sleep(30);
  const held = state.inFlight;
  assert(held <= 4 + 4 + 3 + 2, `${held} items are held`);
  await sleep(10);
  assert.equal(state.inFlight, held, 'nothing moves while the writer stalls');
  resume();
  await running;
  assert.equal(state.written.length, 1000);
});

test('work never runs on more tokens than there are', async () => {
  const cpuTokens = new TokenPool(2);
  let busy = 0;
  let maxBusy = 0;
  const work = async (item: number) => {
    busy++;
    maxBusy = Math.max(maxBusy, busy);
    await nextTurn();
    busy--;
    return item;
  };
  await Promise.all(
    Array.from({ length: 3 }, () => run(30, probe(), { cpuTokens, work, workers: 4 })),
  );
  assert.equal(maxBusy, 2);
  assert.equal(cpuTokens.available, 2);
});

for (const stage of ['read', 'work', 'write'] as const) {
  test(`a failure of the ${stage} stage ends the others and reaches the caller`, async () => {
    const failure = new Error(`cannot ${stage}`);
    const failAt = (item: number) => {
      if (item === 10) throw failure;
      return item;
    };
    const state = probe();
    const cpuTokens = new TokenPool(2);
    const controller = new AbortController();
    async function* failingRead() {
      for await (const item of numbers(1000, state)) yield failAt(item);
    }
    await assert.rejects(
      run(1000, state, {
        cpuTokens,
        signal: controller.signal,
        ...(stage === 'read' && { read: failingRead() }),
        ...(stage === 'work' && { work: async (item: number) => failAt(item) }),
        ...(stage === 'write' && {
          write: async (item: number) => {
            state.written.push(failAt(item));
          },
        }),
      }),
      (error) => error === failure,
    );
    assert(state.readerEnded, 'the reader was told to stop');
    assert(state.written.length <= 10);
    assert.equal(cpuTokens.available, 2, 'every token came back');
    assert.equal(getEventListeners(controller.signal, 'abort').length, 0);
  });
}

test('an abort ends a pipeline whose writer is stalled', async () => {
  const state = probe();
  const controller = new AbortController();
  const running = run(1000, state, {
    signal: controller.signal,
    write: (_item, signal) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason));
      }),
  });
  await sleep(5);
  controller.abort(new Error('shutting down'));
  await assert.rejects(running, /shutting down/);
  assert(state.readerEnded);
});

test('an empty input writes nothing and ends', async () => {
  const state = probe();
  await run(0, state);
  assert.deepEqual(state.written, []);
});

test('the observer sees depths within bounds, waits for each item, and queues empty at the end', async () => {
  const seen = { cpuDepths: [0], writerDepths: [0], cpuWaits: [0], writerWaits: [0] };
  await run(50, probe(), {
    work: async (item) => {
      await nextTurn();
      return item;
    },
    observer: {
      cpuQueueDepth: (depth) => seen.cpuDepths.push(depth),
      writerQueueDepth: (depth) => seen.writerDepths.push(depth),
      cpuQueueWaitMs: (waitMs) => seen.cpuWaits.push(waitMs),
      writerQueueWaitMs: (waitMs) => seen.writerWaits.push(waitMs),
    },
  });
  assert.equal(Math.max(...seen.cpuDepths), 4);
  assert(Math.max(...seen.writerDepths) >= 1 && Math.max(...seen.writerDepths) <= 4);
  assert.equal(seen.cpuDepths.at(-1), 0);
  assert.equal(seen.writerDepths.at(-1), 0);
  assert.equal(seen.cpuWaits.length, 51);
  assert.equal(seen.writerWaits.length, 51);
  assert(seen.cpuWaits.some((waitMs) => waitMs > 0));
  assert([...seen.cpuWaits, ...seen.writerWaits].every((waitMs) => waitMs >= 0));
});

/** What each stage of a run waited for, milliseconds added up, and how long it was busy. */
async function blockedTimes(options: Options, items = 12): Promise<Record<string, number>> {
  const times: Record<string, number> = {};
  const add = (name: string, ms: number) => {
    assert(ms >= 0);
    times[name] = (times[name] ?? 0) + ms;
  };
  const observer: PipelineObserver = {
    blocked: (stage, waitingFor, ms) => add(`${stage} ${waitingFor}`, ms),
    busy: (stage, ms) => add(`${stage} busy`, ms),
  };
  await run(items, probe(), { workers: 1, channelDepth: 1, observer, ...options });
  return times;
}

async function slowly(item: number): Promise<number> {
  await sleep(10);
  return item;
}

function mostBlocked(times: Record<string, number>): string[] {
  // Each of twelve items takes 10 ms at the slow stage, and the others wait for most of that.
  const names = Object.keys(times).toSorted((a, b) => (times[b] ?? 0) - (times[a] ?? 0));
  return names.slice(0, 3).toSorted();
}

test('behind a slow source everybody waits for input', async () => {
  async function* read() {
    for (let item = 0; item < 12; item++) yield await slowly(item);
  }
  const times = await blockedTimes({ read: read() });
  assert.deepEqual(mostBlocked(times), ['reader input', 'worker input', 'writer input']);
});

test('slow workers make the reader wait for room and the writer for input', async () => {
  const times = await blockedTimes({ work: slowly });
  assert.deepEqual(mostBlocked(times), ['reader room', 'worker busy', 'writer input']);
});

test('a slow writer makes workers and reader wait for room', async () => {
  const write = async (item: number) => void (await slowly(item));
  const times = await blockedTimes({ write });
  assert.deepEqual(mostBlocked(times), ['reader room', 'worker room', 'writer busy']);
});

test('a worker without a CPU token waits for that, and the wait counts though it fails', async () => {
  const cpuTokens = new TokenPool(1);
  const held = await cpuTokens.acquire();
  setTimeout(() => held[Symbol.dispose](), 60);
  const times = await blockedTimes({ cpuTokens });
  assert((times['worker cpu_token'] ?? 0) > 45);

  using _held = await cpuTokens.acquire();
  const signal = AbortSignal.timeout(60);
  const waited: number[] = [];
  const observer: PipelineObserver = {
    blocked: (_stage, waitingFor, ms) => waitingFor === 'cpu_token' && waited.push(ms),
  };
  await assert.rejects(run(1, probe(), { cpuTokens, signal, observer }));
  assert.equal(waited.length, 1);
  assert((waited[0] ?? 0) > 45);
});

test('a writer that computes takes a token for each item, waits for it, and cannot deadlock', async () => {
  const cpuTokens = new TokenPool(1);
  const waits: string[] = [];
  let held = 0;
  const computing = async () => {
    held++;
    assert.equal(held, 1);
    await nextTurn();
    held--;
  };
  const observer: PipelineObserver = {
    blocked: (stage, waitingFor) => waits.push(`${stage} ${waitingFor}`),
  };
  const work = async (item: number) => {
    await computing();
    return item;
  };
  const shape = { cpuTokens, work, write: computing, writeTakesToken: true, observer };
  await Promise.all([run(20, probe(), shape), run(20, probe(), { ...shape, channelDepth: 1 })]);
  assert.equal(waits.filter((wait) => wait === 'writer cpu_token').length, 40);
  assert.equal(cpuTokens.available, 1);
});

test('work that is left to the writer takes one token, keeps its place and passes no worker', async () => {
  const state = probe();
  const waits: string[] = [];
  const worked: number[] = [];
  const work = async (item: number) => {
    worked.push(item);
    return item;
  };
  await run(20, state, {
    work,
    writeTakesToken: true,
    leaveToWriter: (item) => (item % 2 === 0 ? undefined : item),
    observer: { blocked: (stage, waitingFor) => waits.push(`${stage} ${waitingFor}`) },
  });
  assert.deepEqual(state.written, [...Array(20).keys()]);
  assert.deepEqual(
    worked.toSorted((a, b) => a - b),
    [0, 2, 4, 6, 8, 10, 12, 14, 16, 18],
  );
  assert.equal(waits.filter((wait) => wait === 'worker cpu_token').length, 10);
  assert.equal(waits.filter((wait) => wait === 'writer cpu_token').length, 20);
});

test('a writer that waits for its turn holds no token meanwhile', async () => {
  const cpuTokens = new TokenPool(2);
  const turns = new TokenPool(1);
  let writing = 0;
  const write = async () => {
    writing++;
    assert.equal(writing, 1);
    await nextTurn();
    writing--;
  };
  const held = await turns.acquire();
  const shape = { cpuTokens, write, writeTakesToken: true, writerTurns: Promise.resolve(turns) };
  const running = Promise.all([run(20, probe(), shape), run(20, probe(), shape)]);
  for (let turn = 0; turn < 50; turn++) await nextTurn();
  assert.equal(cpuTokens.inUse, 0);
  held[Symbol.dispose]();
  await running;
  assert.deepEqual([turns.available, cpuTokens.available], [1, 2]);
});

test('all pipelines together have as much input and output under way as there are I/O tokens', async () => {
  const ioTokens = new TokenPool(3);
  const blocked: string[] = [];
  let underWay = 0;
  let maxUnderWay = 0;
  const io = async () => {
    underWay++;
    maxUnderWay = Math.max(maxUnderWay, underWay);
    await sleep(1);
    underWay--;
  };
  const { signal } = new AbortController();
  const observer: PipelineObserver = {
    blocked: (stage, waitingFor, ms) => ms > 0.5 && blocked.push(`${stage} ${waitingFor}`),
  };
  const told = { observer, waitingFor: 'io_token', signal } as const;
  const pipelines = Array.from({ length: 4 }, async () => {
    async function* read() {
      for (let item = 0; item < 10; item++) {
        await withToken(ioTokens, io, { ...told, stage: 'reader' });
        yield item;
      }
    }
    const write = () => withToken(ioTokens, io, { ...told, stage: 'writer' });
    await run(10, probe(), { read: read(), write });
  });
  await Promise.all(pipelines);
  assert.equal(maxUnderWay, 3);
  assert.equal(ioTokens.available, 3);
  assert(blocked.includes('reader io_token') && blocked.includes('writer io_token'));
});

test('a source that is left early is told so, and one that failed is not asked again', async () => {
  let ended = 0;
  const source = (fail: boolean): AsyncIterable<number> => ({
    [Symbol.asyncIterator]: () => ({
      next: async () => {
        if (fail) throw new Error('cannot read');
        return { done: false, value: 1 };
      },
      return: async () => {
        ended++;
        return { done: true, value: undefined };
      },
    }),
  });
  const write = async () => {
    throw new Error('cannot write');
  };
  await assert.rejects(run(0, probe(), { read: source(false), write }), /cannot write/);
  assert.equal(ended, 1);
  await assert.rejects(run(0, probe(), { read: source(true) }), /cannot read/);
  assert.equal(ended, 1);
});

test('a writer that waits for something holds no token, and what lies before it stays bounded', async () => {
  const state = probe();
  const cpuTokens = new TokenPool(1);
  const event = Promise.withResolvers<void>();
  const options = { cpuTokens, writeAfter: event.promise, writeTakesToken: true };
  const running = run(200, state, options);
  for (let turns = 0; turns < 100; turns++) await nextTurn();
  assert.deepEqual(state.written, []);
  assert.equal(cpuTokens.inUse, 0);
  assert.ok(state.inFlight >= 4 && state.inFlight <= 2 * 4 + 3 + 2, `${state.inFlight} held`);
  event.resolve();
  await running;
  assert.equal(state.written.length, 200);
});

test('a writer that waits for something ends when the pipeline is given up', async () => {
  const state = probe();
  const controller = new AbortController();
  const never = new Promise(() => {});
  const running = run(200, state, { writeAfter: never, signal: controller.signal });
  for (let turns = 0; turns < 20; turns++) await nextTurn();
  controller.abort(new Error('given up'));
  await assert.rejects(running, /given up/);
  assert.ok(state.readerEnded);
});
