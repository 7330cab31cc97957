/** Postgres, NATS or the disk fails, fills or is slow. */

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cp, mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { loadFixture } from '@tracelake/test-kit';
import { eventually, readMetric, replay } from '../client.ts';
import { copyProcess } from '../fixture-copy.ts';
import type { RunbookLab } from '../runbook-lab.ts';
import {
  type Arrange,
  assertExports,
  CannotArrange,
  letWait,
  lockTables,
  setConnections,
} from './scenario.ts';

const run = promisify(execFile);
const MIB = 1024 * 1024;
const DISK_MIB = 48;

const postgresOutage: Arrange = async (lab) => {
  await setConnections(lab, 'refused');
  return { steps: { 'bring Postgres back': () => setConnections(lab, 'allowed') } };
};

/** Inserts of blocks wait for somebody's lock: for over a second at first, then until the page ends it. */
const slowInserts: Arrange = async (lab) => {
  const { url } = lab.service('ingest');
  const first = copyProcess(loadFixture('small'));
  const short = await lockTables(lab, 'blocks');
  const slow = replay(url, first.requests);
  await letWait(lab, 1200);
  await short.release();
  await slow;
  const route = '/ingestion/insert_block';
  const all = await readMetric(url, 'tracelake_http_request_ms_count', { route });
  const quick = await readMetric(url, 'tracelake_http_request_ms_bucket', { route, le: '1000' });
  assert.ok(quick < all, 'a block took over a second to acknowledge');
  const second = copyProcess(loadFixture('small'));
  const lock = await lockTables(lab, 'blocks');
  const waiting = replay(url, second.requests);
  await letWait(lab, 0);
  return {
    steps: { 'mend Postgres': lock.release },
    claim: async () => {
      await waiting;
      await assertExports(lab, first.processId);
      await assertExports(lab, second.processId);
    },
  };
};

/** A forgotten transaction holds a lock, so that whoever writes keeps a connection and the next ones wait for one. */
const forgottenTransaction: Arrange = async (lab) => {
  await lab.restart('ingest', { TRACELAKE_DATABASE_POOL_CONNECTIONS: '2' });
  await lockTables(lab, 'processes, streams, blocks');
  const { url } = lab.service('ingest');
  const copies = Array.from({ length: 8 }, () => copyProcess(loadFixture('small')));
  const sending = Promise.all(copies.map(({ requests }) => replay(url, requests)));
  await eventually(
    async () =>
      (await readMetric(url, 'tracelake_database_connection_waiters')) > 0 ? true : undefined,
    'waiting for a connection',
    20_000,
  );
  return {
    claim: async () => {
      await sending;
      await lab.restart('ingest');
      for (const { processId } of copies.slice(0, 2)) await assertExports(lab, processId);
    },
  };
};

/** The store is on a disk of its own, with so many bytes left. */
function fullDisk(bytesLeft: number): Arrange {
  return async (lab) => {
    const { directory, fill, enlarge } = await moveToSmallDisk(lab);
    await fill(bytesLeft);
    const copy = copyProcess(loadFixture('small'));
    const { url } = lab.service('ingest');
    const isFull = bytesLeft === 0;
    if (!isFull) await replay(url, copy.requests);
    const sending = isFull ? replay(url, copy.requests) : Promise.resolve();
    if (isFull) {
      await eventually(
        async () =>
          (await readMetric(url, 'tracelake_http_requests_total', { status: '503' })) > 0
            ? true
            : undefined,
        'an answer of 503',
        20_000,
      );
      assert.match(lab.service('ingest').log, /ENOSPC/);
    }
    lab.set('STORE_DIRECTORY', directory);
    return {
      steps: { 'enlarge the volume': enlarge },
      claim: async () => {
        await sending;
        await assertExports(lab, copy.processId);
      },
    };
  };
}

async function moveToSmallDisk(lab: RunbookLab) {
  const directory = await mkdtemp(join(tmpdir(), 'tracelake-disk-'));
  lab.defer(() => rm(directory, { recursive: true, force: true }));
  const size = (mebibytes: number) => `size=${mebibytes}m`;
  try {
    await run('mount', ['-t', 'tmpfs', '-o', size(DISK_MIB), 'tmpfs', directory]);
  } catch (cause) {
    throw new CannotArrange('this user may not mount a small file system to fill', { cause });
  }
  lab.defer(() => run('umount', ['--lazy', directory]));
  await cp(lab.stack.objectsDir, directory, { recursive: true });
  lab.configure({ TRACELAKE_OBJECT_STORE_URL: pathToFileURL(directory).href });
  await lab.restartAll();
  return {
    directory,
    fill: (bytesLeft: number) => fillDisk(join(directory, '.ballast'), bytesLeft),
    enlarge: () => run('mount', ['-o', `remount,${size(4 * DISK_MIB)}`, directory]),
  };
}

async function fillDisk(ballast: string, bytesLeft: number): Promise<void> {
  await using file = await open(ballast, 'w');
  const page = Buffer.alloc(MIB / 256);
  let written = 0;
  try {
    for (;;) {
      const { bytesWritten } = await file.write(page);
      written += bytesWritten;
    }
  } catch (error) {
    assert.equal((error as NodeJS.ErrnoException).code, 'ENOSPC');
  }
  await file.truncate(Math.max(0, written - bytesLeft));
}

export const dependencyFaults: Readonly<Record<string, Arrange>> = {
  'ingest-errors.md': postgresOutage,
  'service-not-ready.md': postgresOutage,
  'ingest-slow.md': slowInserts,
  'postgres-slow.md': forgottenTransaction,
  'disk-filling.md': fullDisk(2 * MIB),
  'full-disk.md': fullDisk(0),

  'announcements-pending.md': async (lab) => {
    await lab.nats.stop();
    const copy = await lab.sendProcess();
    return {
      steps: { 'start nats': () => lab.nats.start() },
      claim: () => assertExports(lab, copy.processId),
    };
  },

  'rebuild-nats.md': async (lab) => {
    await lab.nats.kill();
    const copy = await lab.sendProcess();
    return {
      steps: { 'start an empty nats': () => lab.nats.wipeStore() },
      claim: () => assertExports(lab, copy.processId),
    };
  },
};
