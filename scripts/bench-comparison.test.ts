/**
 * Scenario: figures of a run and of the baseline, made up.
 * Guarantees: what the machine's speed explains is no regression; what is beyond the noise band is.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bestOf, compareFigures, hasRegression, type ReportedFigure } from './bench-comparison.ts';

const FILE = 'packages/x/bench/x.bench.ts';
const RATE = `${FILE}: rate`;

function rate(value: number, reference = 100): ReportedFigure {
  return { name: 'rate', value, unit: 'rows/s', better: 'higher', reference };
}

function verdictOf(now: ReportedFigure, before: ReportedFigure) {
  return compareFigures({ [RATE]: now }, { [RATE]: before }, [FILE])[0]?.verdict;
}

test('a rate that fell by more than the band is worse', () => {
  assert.equal(verdictOf(rate(69), rate(100)), 'WORSE');
  assert.equal(verdictOf(rate(71), rate(100)), 'ok');
  assert.equal(verdictOf(rate(150), rate(100)), 'better');
});

test('a rate that fell as far as the reference loop is the machine', () => {
  assert.equal(verdictOf(rate(50, 50), rate(100, 100)), 'ok');
  assert.equal(verdictOf(rate(100, 200), rate(100, 100)), 'WORSE');
});

test('a duration is worse when it grows more than the machine slows down', () => {
  const duration = (value: number, reference: number): ReportedFigure => {
    return { ...rate(value, reference), unit: 'ms', better: 'lower' };
  };
  assert.equal(verdictOf(duration(200, 50), duration(100, 100)), 'ok');
  assert.equal(verdictOf(duration(200, 100), duration(100, 100)), 'WORSE');
});

test('a size does not depend on the machine and has the narrow band', () => {
  const size = (value: number, reference: number): ReportedFigure => {
    return { ...rate(value, reference), better: 'lower', scalesWithMachine: false };
  };
  assert.equal(verdictOf(size(10.2, 20), size(10, 100)), 'ok');
  assert.equal(verdictOf(size(11, 100), size(10, 100)), 'WORSE');
});

test('memory is held to its promise, whatever the baseline was', () => {
  const memory = (value: number): ReportedFigure => {
    const kind = { better: 'lower', scalesWithMachine: false, target: 256 } as const;
    return { ...rate(value), ...kind, unit: 'MB' };
  };
  assert.equal(verdictOf(memory(200), memory(20)), 'ok');
  assert.equal(verdictOf(memory(257), memory(256)), 'WORSE');
});

test('what chance decides is shown and fails nothing', () => {
  const shown = compareFigures({ [RATE]: { ...rate(1), gated: false } }, { [RATE]: rate(100) }, [
    FILE,
  ]);
  assert.equal(shown[0]?.verdict, 'not gated');
  assert.ok(!hasRegression(shown));
});

test('a figure that is no number is worse', () => {
  assert.equal(verdictOf(rate(Number.NaN), rate(100)), 'WORSE');
});

test('a figure of a benchmark that ran and did not report it fails the check; others are left out', () => {
  const baseline = { [RATE]: rate(1), 'packages/y/bench/y.bench.ts: rate': rate(1) };
  const comparisons = compareFigures({}, baseline, [FILE]);
  assert.deepEqual(
    comparisons.map(({ figure, verdict }) => [figure, verdict]),
    [[RATE, 'not measured']],
  );
  assert.ok(hasRegression(comparisons));
});

test('a new figure passes', () => {
  const comparisons = compareFigures({ [RATE]: rate(1) }, {}, [FILE]);
  assert.equal(comparisons[0]?.verdict, 'new');
  assert.ok(!hasRegression(comparisons));
});

test('of two measurements the better counts', () => {
  const best = bestOf({ [RATE]: rate(50) }, { [RATE]: rate(90) });
  assert.equal(best[RATE]?.value, 90);
  assert.equal(bestOf(best, { [RATE]: rate(60) })[RATE]?.value, 90);
});
