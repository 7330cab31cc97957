import assert from 'node:assert/strict';
import { cp, mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { LocalServerError } from './local-server.ts';
import { findPostgresBinaries, reachableBinaries } from './postgres-binaries.ts';
import { initialiseDataDir, inspectDataDir } from './postgres-data-dir.ts';
import { startPostgres } from './postgres-server.ts';
import { canReach, findUnprivilegedUser, isRoot } from './server-user.ts';

async function temporaryDirectory(): Promise<AsyncDisposable & { path: string }> {
  const path = await mkdtemp(join(tmpdir(), 'tracelake-local-servers-'));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

test('binaries that the unprivileged user cannot reach are copied once to where it can', {
  skip: !isRoot() && 'needs root',
}, async () => {
  await using directory = await temporaryDirectory();
  const user = await findUnprivilegedUser();
  const [found] = await findPostgresBinaries('');
  assert.ok(found !== undefined);
  const hidden = join(directory.path, 'home', 'native');
  await mkdir(dirname(hidden), { mode: 0o700 });
  await cp(dirname(found.binDir), hidden, { recursive: true, verbatimSymlinks: true });
  const version = `0.${process.pid}`;
  const binaries = { ...found, version, binDir: join(hidden, 'bin') };
  assert.equal(await canReach(user, binaries.binDir), false);
  const copied = await reachableBinaries(binaries, user);
  try {
    assert.equal(await canReach(user, copied.binDir), true);
    const { ino } = await stat(copied.binDir);
    const again = await reachableBinaries(binaries, user);
    assert.equal((await stat(again.binDir)).ino, ino);
    const dataDir = join(directory.path, 'data');
    await initialiseDataDir(dataDir, {
      binDir: copied.binDir,
      user,
      durable: false,
      signal: undefined,
    });
    assert.equal((await inspectDataDir(dataDir)).majorVersion, found.majorVersion);
  } finally {
    await rm(dirname(copied.binDir), { recursive: true });
  }
});

test('a directory that another version made is served by that version, or refused by name without it', async (context) => {
  await using directory = await temporaryDirectory();
  const candidates = await findPostgresBinaries(process.env.PATH ?? '');
  const [first] = candidates;
  const other = candidates.find((candidate) => candidate.majorVersion !== first?.majorVersion);
  if (other === undefined) return context.skip('this machine has one version of Postgres');
  const user = isRoot() ? await findUnprivilegedUser() : undefined;
  const dataDir = join(directory.path, 'data');
  await initialiseDataDir(dataDir, {
    binDir: other.binDir,
    user,
    durable: false,
    signal: undefined,
  });
  {
    await using server = await startPostgres({ dataDir, durable: false });
    assert.equal(server.description, `Postgres ${other.version} ${other.source}`);
  }
  await writeFile(join(dataDir, 'PG_VERSION'), '7\n');
  await assert.rejects(
    startPostgres({ dataDir }),
    (error) =>
      error instanceof LocalServerError &&
      error.code === 'local-server.not-found' &&
      error.message.includes('Postgres 7'),
  );
});
