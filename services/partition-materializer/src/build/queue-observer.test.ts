import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runStagedPipeline, TokenPool } from '@tracelake/channels';
import { createMetrics } from '@tracelake/service-kit';
import { readMetric } from '../../test/build-lab.ts';
import { createMaterializerMetrics, measureTokens } from '../telemetry-metrics.ts';
import { createQueueObserver } from './queue-observer.ts';

function openMetrics() {
  const registry = createMetrics({ service: 'test' });
  const metrics = createMaterializerMetrics(registry);
  const read = (nameAndLabels: string) => readMetric(registry, nameAndLabels);
  return { registry, metrics, read };
}

test('depths of pipelines that run at once add up, and each takes out its own at its end', async () => {
  const { metrics, read } = openMetrics();
  const depths = () =>
    Promise.all([read('tracelake_cpu_queue_depth'), read('tracelake_writer_queue_depth')]);
  const [first, second] = [createQueueObserver(metrics), createQueueObserver(metrics)];
  first.cpuQueueDepth?.(3);
  second.cpuQueueDepth?.(4);
  first.writerQueueDepth?.(1);
  second.writerQueueDepth?.(2);
  assert.deepEqual(await depths(), [7, 3]);
  second.cpuQueueDepth?.(2);
  assert.deepEqual(await depths(), [5, 3]);
  first[Symbol.dispose]();
  assert.deepEqual(await depths(), [2, 2]);
  second[Symbol.dispose]();
  assert.deepEqual(await depths(), [0, 0]);
});

test('pipelines on shared tokens count every wait, and leave no depth behind though one of them fails', async () => {
  const { registry, metrics, read } = openMetrics();
  const cpuTokens = new TokenPool(1);
  measureTokens(registry, 'cpu', cpuTokens);
  const seen: number[] = [];
  const run = async (failAt: number) => {
    async function* items() {
      for (let item = 0; item < 10; item++) yield item;
    }
    using observer = createQueueObserver(metrics);
    await runStagedPipeline<number, number>({
      read: items(),
      work: async (item) => {
        if (item === failAt) throw new Error('cannot decode');
        seen.push(await read('tracelake_cpu_queue_depth'));
        assert.equal(await read('tracelake_cpu_tokens_in_use'), 1);
        return item;
      },
      write: async () => {},
      workers: 2,
      cpuTokens,
      channelDepth: 4,
      observer,
    });
  };
  const outcomes = await Promise.allSettled([run(-1), run(-1), run(5)]);
  assert.deepEqual(
    outcomes.map(({ status }) => status),
    ['fulfilled', 'fulfilled', 'rejected'],
  );
  assert(Math.max(...seen) > 4, 'more than one pipeline fills');
  assert.equal(await read('tracelake_cpu_queue_depth'), 0);
  assert.equal(await read('tracelake_writer_queue_depth'), 0);
  assert.equal(await read('tracelake_cpu_tokens_in_use'), 0);
  assert.equal(await read('tracelake_cpu_tokens'), 1);
  assert((await read('tracelake_cpu_queue_wait_ms_count')) >= 25);
  assert((await read('tracelake_writer_queue_wait_ms_count')) >= 20);
  const blocked = (labels: string) => read(`tracelake_stage_blocked_seconds_total{${labels}}`);
  assert((await blocked('stage="worker",waiting_for="cpu_token"')) > 0);
  assert((await blocked('stage="reader",waiting_for="room"')) > 0);
  assert((await blocked('stage="writer",waiting_for="input"')) > 0);
  assert((await read('tracelake_stage_busy_seconds_total{stage="worker"}')) > 0);
});
