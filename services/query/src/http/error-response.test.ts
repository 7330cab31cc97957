import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LakeReadingError } from '@tracelake/lake-reading';
import { retryAfterOf } from '@tracelake/service-kit';
import { EngineError } from '../engine/engine-error.ts';
import { QueryError } from '../query-error.ts';
import { problemOfQueryError } from './error-response.ts';

test('a full queue is told when to come back', () => {
  const error = new QueryError('query.queue-full', 'full', { retryable: true });
  assert.equal(problemOfQueryError(error)?.status, 429);
  assert.ok((retryAfterOf(error, 429) ?? 0) > 0);
});

test('whose fault it is decides the status', () => {
  const cases: [Error, number | undefined][] = [
    [new EngineError('query.syntax', ''), 400],
    [new EngineError('query.statement-too-large', ''), 413],
    [new EngineError('query.memory-limit', ''), 422],
    [new EngineError('query.time-limit', ''), 504],
    [new EngineError('query.engine-died', ''), 503],
    [new LakeReadingError('lake-reading.build-timeout', ''), 504],
    [new LakeReadingError('lake-reading.build-failed', ''), 503],
    [new QueryError('query.unknown-source', ''), 404],
    [new Error('a bug'), undefined],
  ];
  for (const [error, status] of cases) assert.equal(problemOfQueryError(error)?.status, status);
});
