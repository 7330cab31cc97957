import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { SourceRef } from '../engine/protocol.ts';
import { EarlyResolution, KnownStatements } from './known-statements.ts';

const LOGS: readonly SourceRef[] = [{ kind: 'catalog', table: 't0', name: 'processes' }];
const OTHERS: readonly SourceRef[] = [{ kind: 'catalog', table: 't0', name: 'streams' }];

/** A resolution that ends when it is told to, or is given up. */
function resolution() {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const seen = { sources: undefined as readonly SourceRef[] | undefined, released: 0, gaveUp: 0 };
  const resolved = {
    release: async () => {
      seen.released += 1;
    },
  };
  const start = (sources: readonly SourceRef[], giveUp: AbortSignal) => {
    seen.sources = sources;
    giveUp.addEventListener('abort', () => {
      seen.gaveUp += 1;
    });
    return promise.then(() => resolved);
  };
  return { seen, resolved, start, finish: resolve, fail: reject };
}

test('a guess that is right is taken, and released by whoever took it', async () => {
  const { seen, resolved, start, finish } = resolution();
  {
    await using early = new EarlyResolution(LOGS, start);
    assert.equal(seen.sources, LOGS);
    const taken = early.take(structuredClone(LOGS));
    finish();
    assert.equal(await taken, resolved);
  }
  assert.deepEqual([seen.released, seen.gaveUp], [0, 0]);
});

test('a guess that is wrong is given up, and released when it was too late for that', async () => {
  const { seen, start, finish } = resolution();
  {
    await using early = new EarlyResolution(LOGS, start);
    assert.equal(early.take(OTHERS), undefined);
    finish();
  }
  assert.deepEqual([seen.released, seen.gaveUp], [1, 1]);
});

test('a guess that nobody asks for is given up, and its failure is nobody’s', async () => {
  const { seen, start, fail } = resolution();
  {
    await using _early = new EarlyResolution(LOGS, start);
    fail(new Error('the database is away'));
    await turn();
  }
  assert.deepEqual([seen.released, seen.gaveUp], [0, 1]);
});

test('the failure of a guess that is right is that of the statement', async () => {
  const { start, fail } = resolution();
  await using early = new EarlyResolution(LOGS, start);
  fail(new Error('the database is away'));
  await turn();
  await assert.rejects(early.take(LOGS) ?? Promise.resolve(), /the database is away/);
});

test('nothing is begun for a statement that was not asked before', async () => {
  const { seen, start } = resolution();
  await using early = new EarlyResolution(new KnownStatements().sourcesOf('SELECT 1'), start);
  assert.equal(early.take([]), undefined);
  assert.equal(seen.sources, undefined);
});

test('the statements asked last are remembered, but no enormous ones', () => {
  const known = new KnownStatements();
  for (let index = 0; index < 500; index++) known.remember(`SELECT ${index}`, LOGS);
  known.remember('SELECT 0', OTHERS);
  known.remember('SELECT new', LOGS);
  assert.deepEqual(known.sourcesOf('SELECT 0'), OTHERS);
  assert.equal(known.sourcesOf('SELECT 1'), undefined);
  assert.deepEqual(known.sourcesOf('SELECT 2'), LOGS);
  const long = `SELECT '${'x'.repeat(10_000)}'`;
  known.remember(long, LOGS);
  assert.equal(known.sourcesOf(long), undefined);
});
