/** The wait for builds over ports in memory: what the catalog holds at each look, what is asked of the bus. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { LakeInstance, LookMoment } from '@tracelake/storage';
import {
  ensureFreshPartitions,
  type FreshnessPorts,
  type InstancesSnapshot,
  type PartitionOutcome,
} from './ensure-fresh-partitions.ts';

const KEY = { viewSet: 'thread_spans', instance: 'stream' };

/** A catalog of one instance: blocks wanted and blocks built, both changed by the test. */
class Lake implements FreshnessPorts<InstancesSnapshot> {
  readonly log: string[] = [];
  readonly events: PartitionOutcome[] = [];
  wanted: string[];
  built: string[];
  onRequest: (attempt: number) => void = () => {};

  constructor(wanted: string[], built: string[]) {
    this.wanted = wanted;
    this.built = built;
  }

  /** The moment is the number of blocks wanted so far. */
  async loadSnapshot(_: AbortSignal, since?: LookMoment): Promise<InstancesSnapshot> {
    this.log.push('look');
    const target = this.wanted.slice(0, Number(since?.seen ?? this.wanted.length));
    const instance = {
      ...KEY,
      process: { processId: 'process' },
      known: this.wanted.length,
      target: target.length,
      targetCovered: target.filter((blockId) => this.built.includes(blockId)).length,
    } as unknown as LakeInstance;
    const moment = { seen: String(this.wanted.length), takenUs: 0n };
    return { moment, instances: this.wanted.length === 0 ? [] : [instance] };
  }

  isComplete({ target, targetCovered }: LakeInstance): boolean {
    return target === targetCovered;
  }

  async watch() {
    this.log.push('watch');
    return {
      next: async (waitMs: number, signal: AbortSignal) => {
        const untilMs = performance.now() + waitMs;
        while (this.events.length === 0 && performance.now() < untilMs) {
          await sleep(2, undefined, { signal });
        }
        return this.events.shift();
      },
      [Symbol.asyncDispose]: async () => {
        this.log.push('unwatch');
      },
    };
  }

  async requestBuild({ attempt }: { attempt: number }): Promise<void> {
    this.log.push(`request ${attempt}`);
    this.onRequest(attempt);
  }
}

const wait = (lake: Lake, timeoutMs = 2000, signal = new AbortController().signal) =>
  ensureFreshPartitions(lake, { timeoutMs, signal, pollMs: 30 });

test('what is current is read after one look, and nobody is asked', async () => {
  const lake = new Lake(['a'], ['a']);
  assert.equal((await wait(lake)).builtCount, 0);
  assert.deepEqual(lake.log, ['look']);
});

test('what is missing is watched before the second look, then asked for, then read', async () => {
  const lake = new Lake(['a', 'b'], ['a']);
  lake.onRequest = () => {
    lake.built.push('b');
    lake.events.push({ ...KEY, outcome: 'written' });
  };
  assert.equal((await wait(lake)).builtCount, 1);
  assert.deepEqual(lake.log, ['look', 'watch', 'look', 'request 0', 'look', 'unwatch']);
});

test('a build that ended between the looks is not asked for', async () => {
  const lake = new Lake(['a'], []);
  const watch = lake.watch.bind(lake);
  lake.watch = () => {
    lake.built.push('a');
    return watch();
  };
  await wait(lake);
  assert.deepEqual(lake.log, ['look', 'watch', 'look', 'unwatch']);
});

test('a lost event costs a poll, not the deadline', async () => {
  const lake = new Lake(['a'], []);
  lake.onRequest = () => setTimeout(() => lake.built.push('a'), 50);
  const startedMs = performance.now();
  await wait(lake, 60_000);
  assert.ok(performance.now() - startedMs < 2000);
});

test('blocks that come during the wait do not move its target', async () => {
  const lake = new Lake(['a'], []);
  lake.onRequest = () => {
    lake.wanted.push('later');
    lake.built.push('a');
    lake.events.push({ ...KEY, outcome: 'written' });
  };
  await wait(lake);
  assert.deepEqual(
    lake.log.filter((line) => line.startsWith('request')),
    ['request 0'],
  );
});

test('the deadline names what was not built', async () => {
  const lake = new Lake(['a'], []);
  await assert.rejects(wait(lake, 100), {
    code: 'lake-reading.build-timeout',
    details: { instances: ['thread_spans/stream'], timeoutMs: 100 },
  });
  assert.equal(lake.log.at(-1), 'unwatch');
});

test('a failed build is asked for again, and its reason is told when it fails each time', async () => {
  const lake = new Lake(['a'], []);
  lake.onRequest = () => lake.events.push({ ...KEY, outcome: 'failed', errorMessage: 'disk full' });
  await assert.rejects(wait(lake), { code: 'lake-reading.build-failed', message: /disk full/ });
  assert.deepEqual(
    lake.log.filter((line) => line.startsWith('request')),
    ['request 0', 'request 1', 'request 2'],
  );
});

test('an abort ends the wait', async () => {
  const lake = new Lake(['a'], []);
  const controller = new AbortController();
  setTimeout(() => controller.abort(new Error('client gone')), 50);
  await assert.rejects(wait(lake, 60_000, controller.signal), /client gone|aborted/);
  assert.equal(lake.log.at(-1), 'unwatch');
});
