import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nanoseconds, ticks } from '@tracelake/domain';
import { chooseCalibrationEvidence } from '@tracelake/lakehouse';
import { seededRandom } from '@tracelake/test-kit';
import { ASYNC_VIEW, makeBlock, makeProcess, storeProcess } from '../test/catalog-fixture.ts';
import { openTestDatabase } from '../test/storage-fixture.ts';
import { BlockRepository } from './block-repository.ts';
import { PartitionCatalog } from './partition-catalog.ts';

test('the evidence chosen among the candidates is the one chosen among all blocks', async () => {
  const seed = Number(process.env.TRACELAKE_TEST_SEED ?? Date.now() % 1_000_000);
  console.log(`seed ${seed}`);
  const random = seededRandom(seed);
  await using fixture = await openTestDatabase();
  const catalog = new PartitionCatalog(fixture.db);
  for (let round = 0; round < 40; round++) {
    const owner = makeProcess({ tscFrequencyHz: 0n });
    const { stream } = await storeProcess(fixture.db, { process: owner, blockCount: 0 });
    const blocks = Array.from({ length: 1 + random.int(12) }, () => {
      const elapsedUs = Math.floor(2 ** (random.next() * 40)) - (random.int(8) === 0 ? 2_000 : 0);
      return makeBlock({
        processId: owner.processId,
        streamId: stream.streamId,
        endNs: nanoseconds(owner.startNs + BigInt(elapsedUs) * 1000n),
        endTicks: ticks(BigInt(random.int(5))),
      });
    });
    await new BlockRepository(fixture.db).insertMany(blocks);
    const request = { view: ASYNC_VIEW, instance: owner.processId, schemaHash: 'aa' };
    const snapshot = await catalog.loadSnapshot(request);
    const expected = chooseCalibrationEvidence(owner, blocks);
    const chosen = chooseCalibrationEvidence(owner, snapshot.calibrationCandidates);
    assert.equal(chosen?.blockId, expected?.blockId);
  }
});
