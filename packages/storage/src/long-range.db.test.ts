/**
 * Scenario: 30 days of sparse blocks of a process, all of them built.
 * Guarantees: a look at it takes three statements, whatever the number of streams and blocks, and holds nothing
 * for a block.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { isCoverageConsistent, planLayout } from '@tracelake/lakehouse';
import { ASYNC_VIEW, storeProcess, THREAD_VIEW } from '../test/catalog-fixture.ts';
import { type StoredLongRange, storeLongRange } from '../test/long-range-fixture.ts';
import { openTestDatabase } from '../test/storage-fixture.ts';
import { readInstanceSnapshot } from './instance-snapshot.ts';
import {
  type LakeSnapshot,
  type LakeSnapshotRequest,
  readLakeSnapshot,
  readProcessSnapshot,
} from './lake-snapshot.ts';
import type { Connection, Database } from './postgres/database.ts';
import type { SqlStatement } from './postgres/sql.ts';

const SCHEMA_HASH = 'aa';
const RANGE = { days: 30, schemaHash: SCHEMA_HASH, viewSet: THREAD_VIEW.name, blocksPerRun: 1000 };
const VIEW = { view: THREAD_VIEW, schemaHash: SCHEMA_HASH };

setFlagsFromString('--expose-gc');
const collectGarbage: () => void = runInNewContext('gc');

interface Watched<T> {
  readonly result: T;
  readonly statements: number;
  /** The most that was live at the end of any statement, over what was live before. */
  readonly heldBytesMax: number;
}

/** Rows that are looked at between two measurements of what is held while they come. */
const ROWS_BETWEEN = 16;

async function watch<T>(
  db: Database,
  work: (transaction: Connection) => Promise<T>,
): Promise<Watched<T>> {
  let statements = 0;
  const before = liveBytes();
  let most = before;
  const look = () => {
    most = Math.max(most, liveBytes());
  };
  const result = await db.transaction(
    (transaction) =>
      work({
        ...transaction,
        async query<Row>(statement: SqlStatement) {
          statements += 1;
          const rows = await transaction.query<Row>(statement);
          look();
          return rows;
        },
        async forEachRow<Row>(statement: SqlStatement, onRow: (row: Row) => void) {
          statements += 1;
          let rows = 0;
          await transaction.forEachRow<Row>(statement, (row) => {
            onRow(row);
            if (rows++ % ROWS_BETWEEN === 0) look();
          });
        },
      }),
    { isolation: 'repeatable read', readOnly: true },
  );
  return { result, statements, heldBytesMax: most - before };
}

function liveBytes(): number {
  // Buffers that the first collection found dead are freed beside it; the second waits for that.
  collectGarbage();
  collectGarbage();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

function ofProcess({ processId }: StoredLongRange): LakeSnapshotRequest {
  return { instances: [], globals: [], processes: [{ processId, views: [VIEW] }] };
}

function assertCurrent({ instances }: LakeSnapshot, known: number): void {
  for (const one of instances) {
    assert.equal(one.covered, known);
    assert.equal(one.known, known);
    assert.ok(isCoverageConsistent({ folds: true }, one.partitions));
  }
}

test('a look at 30 days of sparse blocks takes three statements and holds no block, at ten times the blocks too', async () => {
  await using fixture = await openTestDatabase();
  const { db } = fixture;
  const small = { ...RANGE, streamCount: 10, blocksPerStream: 1000 };
  const large = { ...small, blocksPerStream: 10_000 };
  const stored = [await storeLongRange(db, small), await storeLongRange(db, large)] as const;
  // The first look pays for what is made once, such as compiled code.
  await watch(db, (transaction) => readLakeSnapshot(transaction, ofProcess(stored[0])));
  const [few, many] = [
    await watch(db, (transaction) => readLakeSnapshot(transaction, ofProcess(stored[0]))),
    await watch(db, (transaction) => readLakeSnapshot(transaction, ofProcess(stored[1]))),
  ];
  assertCurrent(few.result, small.blocksPerStream);
  assertCurrent(many.result, large.blocksPerStream);
  assert.equal(many.result.instances.length, 10);
  assert.deepEqual([few.statements, many.statements], [3, 3]);
  const [streamId = ''] = stored[1].streamIds;
  const planned = await watch(db, (transaction) =>
    readInstanceSnapshot(transaction, { ...VIEW, instance: streamId }),
  );
  assert.deepEqual(planned.result.layout && planLayout(planned.result.layout), {
    decision: 'current',
  });
  assert.equal(planned.statements, 3);
  assert.ok(planned.heldBytesMax < 6_000_000, `${planned.heldBytesMax} bytes`);
  console.log(
    `held at most: ${few.heldBytesMax} bytes, ${many.heldBytesMax} at ten times the blocks`,
  );
  // 100,000 blocks as objects are 60 MB. A batch of bytes to hash is the most there is.
  assert.ok(many.heldBytesMax < 6_000_000, `${many.heldBytesMax} bytes`);
  assert.ok(many.heldBytesMax - few.heldBytesMax < 4_000_000, `${many.heldBytesMax} bytes`);
});

test('the statements of a look do not grow with streams, instances or processes', async () => {
  await using fixture = await openTestDatabase();
  const { db } = fixture;
  const threads = { ...RANGE, streamCount: 200, blocksPerStream: 3, blocksPerRun: 2 };
  const stored = await storeLongRange(db, threads);
  const both = { processId: stored.processId, views: [VIEW, { ...VIEW, view: ASYNC_VIEW }] };
  const exported = await watch(db, (transaction) => readProcessSnapshot(transaction, both));
  assert.equal(exported.result.instances.length, 201);
  assert.equal(exported.statements, 3);
  for (let index = 0; index < 50; index++) await storeProcess(db, { blockCount: 1 });
  const everywhere = { instances: [], globals: [{ ...VIEW, view: ASYNC_VIEW }], processes: [] };
  const queried = await watch(db, (transaction) => readLakeSnapshot(transaction, everywhere));
  assert.equal(queried.result.instances.length, 51);
  assert.equal(queried.statements, 3);
});
