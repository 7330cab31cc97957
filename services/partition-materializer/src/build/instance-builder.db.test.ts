/**
 * Scenario: recordings of real clients are stored as ingest stores them, and built without the bus.
 * Guarantees: rows equal to the value, current partitions left alone, a late block costs its own run.
 */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { fixtureCases, loadFixture, type NativeFixture } from '@tracelake/test-kit';
import { type BuildLab, openBuildLab } from '../../test/build-lab.ts';
import { openTestLake, type TestLake } from '../../test/test-lake.ts';
import { canonicalRows, expectedRows, readViewRows } from '../../test/view-rows.ts';

const signal = AbortSignal.timeout(300_000);
let lake: TestLake;
let lab: BuildLab;

before(async () => {
  lake = await openTestLake();
  lab = await openBuildLab(lake);
});
after(async () => {
  await lab[Symbol.asyncDispose]();
  await lake[Symbol.asyncDispose]();
});

/** Instances of every view of a fixture, with the table that they must equal. */
function instancesOf(fixture: NativeFixture) {
  const process = ['log_entries', 'measures', 'async_events'].map((viewSet) => ({
    viewSet,
    instance: fixture.processId,
    table: viewSet,
  }));
  const threads = fixture.expectedThreadSpanStreams().map((streamId) => ({
    viewSet: 'thread_spans',
    instance: streamId,
    table: `thread_spans.${streamId}`,
  }));
  return [...process, ...threads];
}

for (const name of fixtureCases().filter((one) => one !== 'estimated')) {
  test(`every view of recording ${name} has the expected rows, and is built once`, async () => {
    const fixture = loadFixture(name);
    for (const request of fixture.requests) await lake.ingest(request);
    for (const { viewSet, instance, table } of instancesOf(fixture)) {
      const expected = fixture.expected(table);
      const report = await lab.builder.build({ viewSet, instance }, signal);
      assert.deepEqual(report.rejected, []);
      const rows = await readViewRows(lake, { viewSet, instance, columns: expected.header });
      assert.deepEqual(canonicalRows(expected.header, rows), expectedRows(expected), table);
      const before = await lake.catalog.listPartitions(viewSet, instance);
      const again = await lab.builder.build({ viewSet, instance }, signal);
      assert.equal(again.decision, 'current');
      assert.equal(again.built, 0);
      assert.deepEqual(await lake.catalog.listPartitions(viewSet, instance), before);
    }
  });
}

test('where the frequency is estimated, all but times are equal and times within 1 %', async () => {
  const fixture = loadFixture('estimated');
  for (const request of fixture.requests) await lake.ingest(request);
  const { header, rows: processRows } = fixture.expected('processes');
  const startNs = BigInt(processRows[0]?.[header.indexOf('start_time')] ?? '');
  for (const { viewSet, instance, table } of instancesOf(fixture)) {
    const expected = fixture.expected(table);
    await lab.builder.build({ viewSet, instance }, signal);
    const { header: columns } = expected;
    const isTime = columns.map((name) => ['time', 'begin', 'end', 'duration'].includes(name));
    const rows = canonicalRows(columns, await readViewRows(lake, { viewSet, instance, columns }));
    const inTimeOrder = (table: string[][]) => orderByIdentity(table, columns);
    const actual = inTimeOrder(rows);
    const wanted = inTimeOrder(expectedRows(expected));
    assert.equal(actual.length, wanted.length, table);
    actual.forEach((row, index) => {
      row.forEach((text, column) => {
        const other = wanted[index]?.[column] ?? '';
        if (!isTime[column]) {
          assert.equal(text, other, `${table} ${columns[column]}`);
          return;
        }
        const originNs = columns[column] === 'duration' ? 0n : startNs;
        const elapsedNs = Number(BigInt(other) - originNs);
        const differenceNs = Math.abs(Number(BigInt(text) - BigInt(other)));
        const toleranceNs = 0.01 * Math.max(elapsedNs, 1e6);
        assert.ok(differenceNs <= toleranceNs, `${table} row ${index} off by ${differenceNs} ns`);
      });
    });
  }
});

/** By everything but the times, which differ; equal rows of a kind stand in order of time. */
function orderByIdentity(rows: string[][], columns: string[]): string[][] {
  const times = new Set(['time', 'begin', 'end', 'duration']);
  const first = columns.findIndex((name) => name === 'time' || name === 'begin');
  const key = (row: string[]) =>
    JSON.stringify([...row.filter((_, index) => !times.has(columns[index] ?? '')), row[first]]);
  return rows.toSorted((a, b) => (key(a) < key(b) ? -1 : 1));
}
