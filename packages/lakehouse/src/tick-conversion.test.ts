import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nanoseconds, type TickCalibration, ticks, ticksToNs } from '@tracelake/domain';
import { seededRandom } from '@tracelake/test-kit';
import { clampToTimes, timesOfTicks } from './tick-conversion.ts';

test('a column of ticks is what its ticks are one by one, whatever the clock', (t) => {
  t.diagnostic('seeds 1 to 2000');
  for (let seed = 1; seed <= 2000; seed++) {
    const random = seededRandom(seed);
    const bits = (count: number) => {
      let value = 0n;
      for (let left = count; left > 0; left -= 16)
        value = (value << 16n) | BigInt(random.int(65536));
      return BigInt.asUintN(count, value);
    };
    const sign = () => (random.int(2) === 0 ? 1n : -1n);
    const calibration: TickCalibration = {
      startTicks: ticks(sign() * bits(random.pick([16, 32, 48, 62]))),
      startNs: nanoseconds(sign() * (bits(60) + random.pick([0n, 2n ** 63n - 2n ** 60n]))),
      frequencyHz: random.pick([1e9, 2.5e9, 1e7, 3_579_545, 1, 24e6, 2_399_999_123]),
    };
    const values = BigInt64Array.from({ length: 8 }, () =>
      BigInt.asIntN(64, calibration.startTicks + sign() * bits(random.pick([16, 32, 48, 64]))),
    );
    const expected = [...values].map((value) => clampToTimes(ticksToNs(calibration, value)));
    assert.deepEqual([...timesOfTicks(calibration, values)], expected, `seed ${seed}`);
  }
});

test('a part of a buffer is converted like the whole', () => {
  const calibration = { startTicks: ticks(5n), startNs: nanoseconds(7n), frequencyHz: 1e9 };
  const part = BigInt64Array.of(1n, 2n, 3n, 4n).subarray(1, 3);
  assert.deepEqual([...timesOfTicks(calibration, part)], [4n, 5n]);
});
