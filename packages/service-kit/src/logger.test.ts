import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AppError, Secret } from '@tracelake/domain';
import { createLogger } from './logger.ts';

test('a line is JSON with level, service, message, facts, the chain of causes and no secret', () => {
  const lines: string[] = [];
  const logger = createLogger({
    service: 'ingest',
    level: 'debug',
    destination: { write: (line: string) => void lines.push(line) },
  });
  const error = new AppError('lake.failed', 'cannot write', {
    cause: new Error('disk full'),
    details: { blockId: 'b' },
  });
  logger
    .child({ lane: 3 })
    .warn('write failed', { error, rowCount: 5n, key: new Secret('hunter2') });
  logger.debug('bare');
  const [first, second] = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  assert.equal(first?.level, 'warn');
  assert.equal(first?.service, 'ingest');
  assert.equal(first?.msg, 'write failed');
  assert.equal(first?.lane, 3);
  assert.equal(first?.rowCount, 5);
  assert.equal(first?.key, '[redacted]');
  const described = first?.error as { code: string; details: object; cause: { message: string } };
  assert.equal(described.code, 'lake.failed');
  assert.deepEqual(described.details, { blockId: 'b' });
  assert.equal(described.cause.message, 'disk full');
  assert.equal(second?.msg, 'bare');
});
