import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nanoseconds, parseRfc3339 } from '@tracelake/domain';
import { CliError } from '../cli-error.ts';
import { readTimeArgument } from './time-argument.ts';

const now = parseRfc3339('2026-11-21T04:00:00Z') ?? nanoseconds(0n);

test('a duration counts back from now', () => {
  assert.equal(readTimeArgument('--begin', '90m', now), '2026-11-21T02:30:00.000000000Z');
  assert.equal(readTimeArgument('--begin', '2d', now), '2026-11-19T04:00:00.000000000Z');
  assert.equal(readTimeArgument('--end', '1500us', now), '2026-11-21T03:59:59.998500000Z');
  assert.equal(readTimeArgument('--end', 'now', now), '2026-11-21T04:00:00.000000000Z');
});

test('an RFC 3339 time keeps its nanoseconds and loses its offset', () => {
  assert.equal(
    readTimeArgument('--begin', '2026-11-21T05:00:00.123456789+01:00', now),
    '2026-11-21T04:00:00.123456789Z',
  );
});

test('anything else is a usage error that names the option', () => {
  for (const text of [
    '',
    '1',
    'h',
    '-1h',
    '1w',
    'yesterday',
    '2026-11-21',
    '2026-02-30T00:00:00Z',
  ]) {
    assert.throws(
      () => readTimeArgument('--begin', text, now),
      (error) => error instanceof CliError && error.message.includes('--begin'),
    );
  }
});
