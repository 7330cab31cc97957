import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AppError } from '@tracelake/domain';
import { createLogger } from './logger.ts';
import { waitForDependency } from './wait-for-dependency.ts';

const logger = createLogger({ service: 'test', level: 'silent' });
const options = { name: 'postgres', logger, intervalMs: 1 };
const unavailable = new AppError('storage.down', 'not there yet', { retryable: true });

test('a dependency that comes up later is waited for, a lasting failure is not', async () => {
  const { signal } = new AbortController();
  let attempts = 0;
  const answer = await waitForDependency(
    async () => {
      attempts += 1;
      if (attempts < 4) throw unavailable;
      return 'up';
    },
    { ...options, signal },
  );
  assert.deepEqual([answer, attempts], ['up', 4]);
  const lasting = new AppError('storage.bad', 'wrong schema');
  await assert.rejects(
    waitForDependency(() => Promise.reject(lasting), { ...options, signal }),
    lasting,
  );
  const refused = waitForDependency(() => Promise.reject(unavailable), {
    ...options,
    signal,
    timeoutMs: 10,
  });
  await assert.rejects(refused, unavailable);
});

test('the signal ends the wait', async () => {
  const abort = new AbortController();
  const waiting = waitForDependency(() => Promise.reject(unavailable), {
    ...options,
    intervalMs: 10_000,
    signal: abort.signal,
  });
  setTimeout(() => abort.abort(), 5);
  await assert.rejects(waiting, { name: 'AbortError' });
});
