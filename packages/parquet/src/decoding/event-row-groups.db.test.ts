/** Files of the encoder, read page by page and by DuckDB. */

import assert from 'node:assert/strict';
import { mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { ensureExists } from '@tracelake/domain';
import type { ColumnDefinition, RowColumns } from '@tracelake/lakehouse';
import { seededRandom } from '@tracelake/test-kit';
import { ParquetError } from '../parquet-error.ts';
import { ParquetReader } from '../parquet-reading.ts';
import { writeParquet } from '../parquet-writing.ts';
import { type EventFileLayout, findEventLayouts } from './event-file-layout.ts';
import { EventRowGroups } from './event-row-groups.ts';
import { ScopeTable } from './event-scopes.ts';

const COLUMNS: ColumnDefinition[] = [
  { name: 'stream_id', type: 'string' },
  { name: 'time', type: 'timestamp' },
  { name: 'event_type', type: 'string' },
  { name: 'span_id', type: 'i64' },
  { name: 'parent_span_id', type: 'i64' },
  { name: 'depth', type: 'u32' },
  { name: 'hash', type: 'u32' },
  { name: 'name', type: 'string' },
  { name: 'filename', type: 'string' },
  { name: 'target', type: 'string' },
  { name: 'line', type: 'u32' },
];

let dir = '';
before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'tracelake-event-pages-'));
});
after(async () => {
  await rm(dir, { recursive: true, force: true });
});

interface EventRow {
  readonly time: bigint;
  readonly kind: string;
  readonly id: bigint;
  readonly parent: bigint;
  readonly depth: number;
  readonly scope: number;
}

/** Scopes share names, files and lines in every way, and texts are of all kinds. */
const scopeOf = (scope: number) => ({
  hash: (Math.imul(scope, 0x9e37_79b1) ^ 0x8000_0000) >>> 0,
  name: scope % 3 === 0 ? (['', '\ufefföß'][scope % 2] ?? '') : `call ${scope >> 1}`,
  filename: `file ${scope % 5}.rs`,
  target: scope < 90 ? 'one' : 'two',
  line: scope % 7 === 0 ? 2 ** 32 - 1 : scope % 7,
});

function randomRows(seed: number, count: number, scopeCount: number): EventRow[] {
  const random = seededRandom(seed);
  let time = 1_795_230_665_835_000_000n;
  return Array.from({ length: count }, (_, i) => {
    time += BigInt(random.int(i % 50 === 0 ? 2 ** 31 : 300));
    return {
      time,
      kind: random.int(2) === 0 ? 'begin' : 'end',
      id: seed % 2 === 0 ? BigInt(i) : BigInt.asIntN(64, BigInt(random.int(2 ** 31)) ** 3n),
      parent: BigInt(random.int(3) === 0 ? 0 : -i),
      depth: random.int(4),
      scope: random.int(scopeCount),
    };
  });
}

function columnsOf(rows: readonly EventRow[]): RowColumns {
  const bigints = (pick: (row: EventRow) => bigint) => BigInt64Array.from(rows, pick);
  const numbers = (pick: (row: EventRow) => number) =>
    ({ type: 'u32', values: Uint32Array.from(rows, pick) }) as const;
  const texts = (pick: (row: EventRow) => string) => {
    const dictionary = [...new Set(rows.map(pick))];
    const codes = Uint32Array.from(rows, (row) => dictionary.indexOf(pick(row)));
    return { type: 'string', codes, dictionary } as const;
  };
  return {
    rowCount: rows.length,
    columns: [
      texts(() => 'stream'),
      { type: 'timestamp', values: bigints((row) => row.time) },
      texts((row) => row.kind),
      { type: 'i64', values: bigints((row) => row.id) },
      { type: 'i64', values: bigints((row) => row.parent) },
      numbers((row) => row.depth),
      numbers((row) => scopeOf(row.scope).hash),
      texts((row) => scopeOf(row.scope).name),
      texts((row) => scopeOf(row.scope).filename),
      texts((row) => scopeOf(row.scope).target),
      numbers((row) => scopeOf(row.scope).line),
    ],
  };
}

async function write(name: string, rows: RowColumns, rowGroupRows = 32_768): Promise<string> {
  const path = join(dir, `${name}.parquet`);
  await writeParquet({ path, columns: COLUMNS, rows, rowGroupRows, metadata: {} });
  return path;
}

const layoutOf = async (path: string) => (await findEventLayouts([path]))?.get(path);

async function readByPages(path: string, layout: EventFileLayout): Promise<unknown[][]> {
  const table = new ScopeTable();
  await using groups = new EventRowGroups(path, layout, table);
  const found: unknown[][] = [];
  for (;;) {
    const rows = await groups.read();
    if (rows === undefined) return found;
    assert.ok(typeof rows !== 'string', `refused: ${rows}`);
    const ids = new BigInt64Array(rows.id.buffer);
    const parents = new BigInt64Array(rows.parent.buffer);
    for (let row = 0; row < rows.rowCount; row += 1) {
      const scope = ensureExists(table.scopes[rows.scope[row] ?? -1], 'scope');
      const { name, filename, target, line } = scope;
      const isEnd = rows.isEnd[row] === 1;
      const numbers = [rows.times[row], isEnd, ids[row], parents[row], rows.depth[row]];
      found.push([...numbers, name, filename, target, line]);
    }
  }
}

test('rows are those that DuckDB reads', async () => {
  await using reader = new ParquetReader();
  const sql = `SELECT epoch_ns(time), event_type = 'end', span_id, parent_span_id, depth,
    encode(name), filename, target, line FROM read_parquet`;
  for (const [seed, count, scopeCount, rowGroupRows] of [
    [1, 1, 1, 100],
    [2, 100, 1, 100],
    [3, 1000, 60, 128],
    [4, 999, 180, 333],
    [5, 5000, 180, 32_768],
    // Most rows have a name of their own, which stand one after the other.
    [6, 300, 5000, 200],
    [8, 2, 5000, 200],
  ] as const) {
    const rows = columnsOf(randomRows(seed, count, scopeCount));
    const path = await write(`rows-${seed}`, rows, rowGroupRows);
    const layout = ensureExists(await layoutOf(path), 'layout');
    assert.equal(layout.rowGroups.length, Math.ceil(count / rowGroupRows));
    const expected = (await reader.rows(`${sql}('${path}')`)).map((row) =>
      row.map((value, i) =>
        i === 5
          ? Buffer.from((value as { bytes: Uint8Array } & typeof value).bytes).toString()
          : value,
      ),
    );
    assert.deepEqual(await readByPages(path, layout), expected, `seed ${seed}`);
  }
});

test('a damaged file is refused with the column, or has rows of the same number', async () => {
  const seed = 11;
  const count = 300;
  const path = await write('whole', columnsOf(randomRows(seed, count, 40)), 200);
  const layout = ensureExists(await layoutOf(path), 'layout');
  const whole = await readFile(path);
  const damaged = join(dir, 'damaged.parquet');
  const random = seededRandom(seed);
  let refusedCount = 0;
  const end = layout.rowGroups.reduce(
    (at, group) => Math.max(at, group.offset + group.storedBytes),
    0,
  );
  for (let position = 4; position < end; position += 1 + random.int(20)) {
    const bytes = Buffer.from(whole);
    bytes[position] = (bytes[position] ?? 0) ^ (1 << random.int(8));
    await writeFile(damaged, bytes);
    const table = new ScopeTable();
    await using groups = new EventRowGroups(damaged, layout, table);
    try {
      const rows = await groups.read();
      if (typeof rows === 'object') assert.equal(rows.rowCount, 200);
      await groups.read();
    } catch (error) {
      assert.ok(error instanceof ParquetError, `seed ${seed}, byte ${position}: ${error}`);
      assert.equal(error.code, 'parquet.read-failed');
      assert.match(error.message, /row group [01], column [a-z_]+ /);
      refusedCount += 1;
    }
  }
  assert.ok(refusedCount > 20, `${refusedCount} refused`);
});

test('pages that are missing are refused', async () => {
  const path = await write('cut', columnsOf(randomRows(21, 500, 40)), 200);
  const layout = ensureExists(await layoutOf(path), 'layout');
  await using groups = new EventRowGroups(path, layout, new ScopeTable());
  assert.equal(typeof (await groups.read()), 'object');
  const file = await open(path, 'r+');
  await file.truncate(ensureExists(layout.rowGroups[1], 'row group').offset + 10);
  await file.close();
  await assert.rejects(groups.read(), { code: 'parquet.read-failed', retryable: false });
});

test('times that are not those of the footer are refused, as other row groups are read by them', async () => {
  const rows = randomRows(31, 100, 3);
  const path = await write('times', columnsOf(rows));
  const layout = ensureExists(await layoutOf(path), 'layout');
  const [group] = layout.rowGroups;
  const belied = [{ ...ensureExists(group, 'row group'), leastNs: 0n }];
  await using groups = new EventRowGroups(path, { rowGroups: belied }, new ScopeTable());
  await assert.rejects(groups.read(), { code: 'parquet.read-failed' });
});

test('rows that are out of order, or scopes that share a hash, are refused as such', async () => {
  const rows = randomRows(41, 100, 3);
  const unordered = await write('unordered', columnsOf([...rows.slice(50), ...rows.slice(0, 50)]));
  const shared = columnsOf(rows);
  const hashes = ensureExists(shared.columns[6], 'hashes');
  if (hashes.type === 'u32') hashes.values.fill(7);
  const sharing = await write('sharing', shared);
  for (const [path, refusal] of [
    [unordered, 'unordered'],
    [sharing, 'scopes-share-hash'],
  ] as const) {
    const layout = ensureExists(await layoutOf(path), 'layout');
    await using groups = new EventRowGroups(path, layout, new ScopeTable());
    assert.equal(await groups.read(), refusal);
  }
});

test('files of others, row groups out of order, rare encodings and damaged footers are left to DuckDB', async () => {
  const rows = randomRows(51, 400, 30);
  const own = await write('own', columnsOf(rows));
  assert.notEqual(await layoutOf(own), undefined);
  const foreign = join(dir, 'foreign.parquet');
  await using reader = new ParquetReader();
  await reader.rows(`COPY (FROM read_parquet('${own}')) TO '${foreign}' (FORMAT parquet)`);
  const disordered = await write('disordered', columnsOf(rows.toReversed()), 100);
  const numbers = columnsOf(randomRows(53, 9000, 3));
  const hashes = { type: 'u32', values: Uint32Array.from({ length: 9000 }, (_, i) => i) } as const;
  const plain = await write('plain', { ...numbers, columns: numbers.columns.with(6, hashes) });
  for (const path of [foreign, disordered, plain, join(dir, 'missing.parquet')]) {
    assert.equal(await layoutOf(path), undefined, path);
  }
  const whole = await readFile(own);
  const cut = join(dir, 'footer.parquet');
  const footerBytes = whole.readUInt32LE(whole.length - 8);
  for (let length = whole.length - 1; length >= whole.length - footerBytes - 12; length -= 7) {
    await writeFile(cut, whole.subarray(0, length));
    assert.equal(await layoutOf(cut), undefined);
  }
  const random = seededRandom(52);
  for (let round = 0; round < 300; round += 1) {
    const bytes = Buffer.from(whole);
    const at = whole.length - 8 - 1 - random.int(footerBytes);
    bytes[at] = random.int(256);
    await writeFile(cut, bytes);
    // Whatever it finds, it neither throws nor names bytes outside the file.
    for (const group of (await layoutOf(cut))?.rowGroups ?? []) {
      assert.ok(group.offset >= 4 && group.offset + group.storedBytes <= whole.length);
    }
  }
});
