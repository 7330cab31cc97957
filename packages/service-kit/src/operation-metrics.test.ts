import assert from 'node:assert/strict';
import { statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { createMetrics } from './metrics.ts';
import { registerOperationMetrics } from './operation-metrics.ts';
import { Readiness } from './readiness.ts';
import { measureStores } from './store-metrics.ts';

test('each dependency is 1 while it serves and 0 while it does not, optional ones too', async () => {
  const failing = new Set(['postgres', 'nats']);
  const check = (name: string) => async () => {
    if (failing.has(name)) throw new Error('refused');
  };
  const readiness = new Readiness({
    checks: { postgres: check('postgres'), 'object-store': check('object-store') },
    optionalChecks: { nats: check('nats') },
    checkTimeoutMs: 100,
  });
  const metrics = createMetrics({ service: 'test' });
  registerOperationMetrics(metrics, readiness);
  const readySeries = async () =>
    Object.fromEntries(
      [
        ...(await metrics.render()).matchAll(/^tracelake_ready\{dependency="([^"]+)".*\} (\d)$/gm),
      ].map(([, name, value]) => [name, Number(value)]),
    );
  assert.deepEqual(await readySeries(), { postgres: 0, 'object-store': 1, nats: 0 });
  failing.clear();
  assert.deepEqual(await readySeries(), { postgres: 1, 'object-store': 1, nats: 1 });
  assert.match(await metrics.render(), /^tracelake_build_info\{version="\d+\.\d+\.\d+",.*\} 1$/m);
});

test('a check that hangs costs a scrape no more than a check may take', async () => {
  const readiness = new Readiness({
    checks: { postgres: () => new Promise(() => {}) },
    checkTimeoutMs: 50,
  });
  const metrics = createMetrics({ service: 'test' });
  registerOperationMetrics(metrics, readiness);
  const startMs = performance.now();
  const text = await metrics.render();
  assert.ok(performance.now() - startMs < 2000);
  assert.match(text, /^tracelake_ready\{dependency="postgres",.*\} 0$/m);
  const seconds = /^tracelake_dependency_check_seconds\{.*\} (\S+)$/m.exec(text)?.[1];
  assert.ok(Number(seconds) >= 0.04, `took ${seconds} s`);
});

test('free space is that of the file system of a directory store, connections are those of the pool', async () => {
  const usage = { inUse: 3, waiting: 2, max: 4 };
  const metrics = createMetrics({ service: 'test' });
  measureStores(metrics, { db: { usage }, objectStoreUrl: pathToFileURL(tmpdir()).href });
  const value = (text: string, name: string) =>
    Number(new RegExp(`^${name}\\{.*\\} (\\S+)$`, 'm').exec(text)?.[1]);
  const text = await metrics.render();
  const { bavail, blocks, bsize } = await statfs(tmpdir());
  assert.equal(value(text, 'tracelake_store_size_bytes'), blocks * bsize);
  // Others write meanwhile.
  const tolerance = 0.05 * blocks * bsize;
  assert.ok(Math.abs(value(text, 'tracelake_store_free_bytes') - bavail * bsize) < tolerance);
  assert.equal(value(text, 'tracelake_database_connections_in_use'), 3);
  assert.equal(value(text, 'tracelake_database_connections_max'), 4);
  assert.equal(value(text, 'tracelake_database_connection_waiters'), 2);
});

test('a bucket has no figure for free space, and neither has a directory that is gone', async () => {
  for (const objectStoreUrl of ['s3://bucket/prefix', 'file:///nowhere/at/all']) {
    const metrics = createMetrics({ service: 'test' });
    measureStores(metrics, { db: { usage: { inUse: 0, waiting: 0, max: 1 } }, objectStoreUrl });
    assert.doesNotMatch(await metrics.render(), /^tracelake_store_free_bytes\{/m);
  }
});
