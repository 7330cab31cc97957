import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  formatRfc3339,
  nanoseconds,
  parseRfc3339,
  relativeTicksToNs,
  ticks,
  ticksToNs,
  truncateToMicroseconds,
} from './time.ts';

test('an RFC 3339 time is read to the nanosecond whatever its offset and digits', () => {
  const cases: [string, bigint][] = [
    ['1970-01-01T00:00:00Z', 0n],
    ['1970-01-01T00:00:00.000000001Z', 1n],
    ['1970-01-01T00:00:00.1234567899Z', 123_456_789n],
    ['1970-01-01t01:30:00.5+01:30', 500_000_000n],
    ['1969-12-31T23:59:59.999999999+00:00', -1n],
    ['2026-11-21T04:00:00.123456789-05:00', 1_795_251_600_123_456_789n],
    ['2016-12-31T23:59:60Z', 1_483_228_800_000_000_000n],
    ['0001-01-01T00:00:00Z', -62_135_596_800_000_000_000n],
  ];
  for (const [text, expected] of cases) assert.equal(parseRfc3339(text), expected, text);
});

test('a text that is not an RFC 3339 time is refused', () => {
  const texts = [
    '',
    'now',
    '2026-11-21',
    '2026-11-21T04:00:00',
    '2026-02-30T00:00:00Z',
    '2026-13-01T00:00:00Z',
    '2026-11-21T24:00:00Z',
    '2026-11-21T04:60:00Z',
    '2026-11-21T04:00:00+24:00',
    '2026-11-21T04:00:00.Z',
    ' 2026-11-21T04:00:00Z',
    `2026-11-21T04:00:00.${'1'.repeat(100)}Z`,
  ];
  for (const text of texts) assert.equal(parseRfc3339(text), undefined, text);
});

test('a printed time reads back as itself, before the epoch too', () => {
  for (const time of [0n, 1n, -1n, 1_795_251_600_123_456_789n, -62_135_596_800_000_000_000n]) {
    assert.equal(parseRfc3339(formatRfc3339(nanoseconds(time))), time);
  }
});

test('truncation to microseconds goes toward the past on both sides of the epoch', () => {
  assert.equal(truncateToMicroseconds(nanoseconds(1999n)), 1000n);
  assert.equal(truncateToMicroseconds(nanoseconds(-1n)), -1000n);
  assert.equal(truncateToMicroseconds(nanoseconds(-1000n)), -1000n);
});

test('ticks become nanoseconds by the precomputed inverse, rounded half away from zero', () => {
  const calibration = {
    startTicks: ticks(14_611_225_828_250n),
    startNs: nanoseconds(1_795_230_665_835_080_000n),
    frequencyHz: 2_500_000_000,
  };
  assert.equal(relativeTicksToNs(calibration, 495_278n), 1_795_230_665_835_278_111n);
  assert.equal(ticksToNs(calibration, 14_611_225_828_250n + 495_278n), 1_795_230_665_835_278_111n);
  const halves = { ...calibration, startNs: nanoseconds(0n), frequencyHz: 2e9 };
  assert.equal(relativeTicksToNs(halves, 1n), 1n);
  assert.equal(relativeTicksToNs(halves, -1n), -1n);
  assert.equal(relativeTicksToNs(halves, 3n), 2n);
});
