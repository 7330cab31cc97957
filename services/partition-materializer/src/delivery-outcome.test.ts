import assert from 'node:assert/strict';
import { test } from 'node:test';
import { outcomeOfFailure } from './delivery-outcome.ts';
import { MaterializerError } from './materializer-error.ts';

test('what can never succeed is put aside at its first delivery', () => {
  const error = new MaterializerError('materializer.unknown-instance', 'no such process');
  assert.deepEqual(outcomeOfFailure(error, 1), {
    deadLetter: 'materializer.unknown-instance: no such process',
  });
});

test('what time may mend comes again, later each time and never later than ten seconds', () => {
  const error = new MaterializerError('materializer.conflict', 'busy', { retryable: true });
  const delays = [1, 2, 3, 4, 5, 6, 100].map((delivery) => {
    const outcome = outcomeOfFailure(error, delivery);
    return typeof outcome === 'object' && 'nakDelayMs' in outcome ? outcome.nakDelayMs : -1;
  });
  assert.deepEqual(delays, [500, 1000, 2000, 5000, 10_000, 10_000, 10_000]);
  assert.deepEqual(outcomeOfFailure(new TypeError('a bug'), 1), { nakDelayMs: 500 });
});
