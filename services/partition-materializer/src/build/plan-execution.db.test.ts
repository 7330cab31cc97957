/**
 * Scenario: an instance of several runs is built, and the catalog is slow to commit or refuses.
 * Guarantees: the next run is folded meanwhile, commits keep their order, and nothing is left of what was not committed.
 */

import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { after, before, beforeEach, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ensureExists } from '@tracelake/domain';
import { PartitionCatalog, sql } from '@tracelake/storage';
import { generateProcess } from '@tracelake/test-kit';
import { type BuildLab, openBuildLab } from '../../test/build-lab.ts';
import { openTestLake, type TestLake } from '../../test/test-lake.ts';

const signal = AbortSignal.timeout(120_000);
const RUNS = 3;
const SPANS = 1_400_000;

let lake: TestLake;
let instance = '';
let blockCount = 0;

before(async () => {
  lake = await openTestLake();
  const generated = generateProcess({ seed: 1, threadSpans: SPANS });
  for (const request of generated) {
    if ((await lake.ingest(request)) !== undefined) blockCount += 1;
  }
  const [stream] = await lake.database.query<{ stream_id: string }>(
    sql`SELECT stream_id FROM streams`,
  );
  instance = ensureExists(stream, 'stream').stream_id;
});
beforeEach(() => lake.database.query(sql`DELETE FROM partitions`));
after(() => lake[Symbol.asyncDispose]());

/** Each commit first does what it is told to. */
class GatedCatalog extends PartitionCatalog {
  readonly carries: (string | undefined)[] = [];
  coveredBlocks = 0;
  readonly #gate: (catalog: GatedCatalog) => Promise<void>;

  constructor(gate: (catalog: GatedCatalog) => Promise<void>) {
    super(lake.database);
    this.#gate = gate;
  }

  override async commit(...args: Parameters<PartitionCatalog['commit']>) {
    const [{ expectPredecessorCarryHash, insert }] = args;
    this.carries.push(expectPredecessorCarryHash);
    for (const { blockIds } of insert) this.coveredBlocks += blockIds.length;
    await this.#gate(this);
    return await super.commit(...args);
  }
}

const foldedBlocks = (lab: BuildLab) => lab.metric('tracelake_materializer_blocks_folded_total');

test('the next run is folded while one is committed, and commits follow each other', async () => {
  const catalog = new GatedCatalog(async ({ coveredBlocks }) => {
    if (coveredBlocks === blockCount) return;
    while ((await foldedBlocks(lab)) <= coveredBlocks) await sleep(1, undefined, { signal });
  });
  await using lab = await openBuildLab(lake, { overrides: { catalog } });
  const report = await lab.builder.build({ viewSet: 'thread_spans', instance }, signal);
  assert.ok(report.rows >= SPANS);
  assert.equal(catalog.carries.length, RUNS);
  assert.equal(new Set(catalog.carries).size, RUNS, 'each from the carry of the one before');
});

test('a commit that fails ends the build, and leaves no file in work and no later run', async () => {
  const catalog = new GatedCatalog(async ({ carries }) => {
    if (carries.length === 2) throw new Error('no such luck');
  });
  await using lab = await openBuildLab(lake, { overrides: { catalog } });
  const request = { viewSet: 'thread_spans', instance };
  await assert.rejects(lab.builder.build(request, signal), /no such luck/);
  assert.equal(catalog.carries.length, 2);
  const runs = (await lake.catalog.listPartitions('thread_spans', instance)).filter(
    ({ kind }) => kind === 'run',
  );
  assert.equal(runs.length, 1);
  assert.deepEqual(await readdir(lab.tempDir), []);
  const report = await lab.builder.build(request, signal);
  assert.equal(report.decision, 'written');
  assert.ok(report.rows < SPANS, 'what was committed stays');
});
