import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ensureExists, parseProcessId } from '@tracelake/domain';
import { BusError } from './bus-error.ts';
import {
  deadLetterSubject,
  materializeSubject,
  partitionSubject,
  subjectFilters,
  telemetrySubject,
} from './subjects.ts';

const ID = '01234567-89ab-cdef-0123-456789abcdef';
const PROCESS_ID = ensureExists(parseProcessId(ID), 'the process id');

test('subjects are those of the contract', () => {
  assert.equal(telemetrySubject('process', 3, PROCESS_ID), `telemetry.process.inserted.3.${ID}`);
  assert.equal(telemetrySubject('stream', 0, PROCESS_ID), `telemetry.stream.inserted.0.${ID}`);
  assert.equal(telemetrySubject('block', 7, PROCESS_ID), `telemetry.block.inserted.7.${ID}`);
  assert.equal(materializeSubject(5, 'thread_spans'), 'materialize.requested.5.thread_spans');
  const key = { viewSet: 'thread_spans', instance: ID };
  for (const outcome of ['written', 'current', 'failed'] as const) {
    assert.equal(partitionSubject(outcome, key), `partition.${outcome}.thread_spans.${ID}`);
  }
  assert.equal(deadLetterSubject('TELEMETRY'), 'dead.TELEMETRY');
});

test('filters take one lane', () => {
  assert.equal(subjectFilters.telemetry(3), 'telemetry.*.inserted.3.>');
  assert.equal(subjectFilters.telemetry(3, 'block'), 'telemetry.block.inserted.3.>');
  assert.equal(subjectFilters.materialize(3), 'materialize.requested.3.*');
});

test('text that would change a subject is refused', () => {
  for (const text of ['', 'a.b', '*', '>', 'a b', 'a\r\nPUB x', 'é', 'x'.repeat(129)]) {
    for (const build of [
      () => materializeSubject(0, text),
      () => partitionSubject('written', { viewSet: text, instance: 'x' }),
      () => partitionSubject('written', { viewSet: 'x', instance: text }),
    ]) {
      assert.throws(
        build,
        (error) => error instanceof BusError && error.code === 'bus.bad-subject',
        JSON.stringify(text),
      );
    }
  }
});
