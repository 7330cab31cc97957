/** Planned work: restoring, moving, rotating, and releases that come and go. */

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { cp, mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { loadFixture } from '@tracelake/test-kit';
import { replay } from '../client.ts';
import { copyProcess } from '../fixture-copy.ts';
import { stageNextRelease } from '../next-release.ts';
import { type RunbookLab, SERVICES } from '../runbook-lab.ts';
import { type Arrange, administer, assertExports, setConnections } from './scenario.ts';

/** A release after this one, which changes two views: commands and whatever starts from now on are its own. */
async function useNextRelease(lab: RunbookLab): Promise<void> {
  const release = await stageNextRelease();
  lab.defer(() => rm(release.workspaceDir, { recursive: true, force: true }));
  await lab.useRelease(release.workspaceDir);
}

/** The services are of this release, the commands of the next one. */
const nextReleaseIsOut: Arrange = async (lab) => {
  const before = await lab.sql('SELECT max(version) FROM schema_migrations');
  await useNextRelease(lab);
  return {
    claim: async () => {
      const after = await lab.sql('SELECT max(version) FROM schema_migrations');
      assert.equal(Number(after), Number(before) + 1, 'the next schema');
    },
  };
};

/** All services are of the next release, and are to be of this one again. */
const badRelease: Arrange = async (lab) => {
  await useNextRelease(lab);
  await lab.restartAll();
  const copy = await lab.sendProcess();
  await lab.export(copy.processId);
  await lab.useRelease(undefined);
  return { claim: () => assertExports(lab, copy.processId) };
};

/** Partitions of this release, and then services of one whose views are others. */
const changedView: Arrange = async (lab) => {
  const copy = await lab.sendProcess();
  await lab.export(copy.processId);
  return {
    steps: {
      'upgrade every service': async () => {
        await useNextRelease(lab);
        await lab.restartAll();
      },
    },
    claim: () => assertExports(lab, copy.processId),
  };
};

/** All objects are gone, and the copy of them lacks what came after it. */
const lostObjects: Arrange = async (lab) => {
  const backup = join(lab.scratchDir, 'backup');
  const blobs = join(lab.stack.objectsDir, 'blobs');
  await cp(blobs, join(backup, 'blobs'), { recursive: true });
  lab.set('BACKUP_STORE_URL', pathToFileURL(backup).href);
  const late = copyProcess(loadFixture('small'));
  await replay(lab.service('ingest').url, late.requests);
  // Builds go on meanwhile and may put a file into a directory that is being removed.
  const whole = { recursive: true, maxRetries: 10 };
  await rm(blobs, whole);
  await rm(join(lab.stack.objectsDir, 'views'), whole);
  return {
    steps: { 'the clients send again': () => replay(lab.service('ingest').url, late.requests) },
    claim: () => assertExports(lab, late.processId),
  };
};

export const operations: Readonly<Record<string, Arrange>> = {
  'upgrade.md': nextReleaseIsOut,
  'rollback.md': badRelease,
  'schema-change.md': changedView,
  'restore-store.md': lostObjects,

  'restore-postgres.md': async (lab) => {
    const backup = `backup_${randomUUID().replaceAll('-', '')}`;
    const name = new URL(lab.stack.databaseUrl).pathname.slice(1);
    const before = await lab.sendProcess();
    const whole = await lab.export(before.processId);
    const after = copyProcess(loadFixture('small'));
    return {
      steps: {
        'take a backup': async () => {
          await setConnections(lab, 'refused');
          await administer(lab, [`CREATE DATABASE ${backup} TEMPLATE ${name}`]);
          await setConnections(lab, 'allowed');
          // What comes after the backup has an object and no row once the backup is restored.
          await replay(lab.service('ingest').url, after.requests);
          await lab.export(after.processId);
          // Files that the restored catalog names may have been replaced and swept since.
          await rm(join(lab.stack.objectsDir, 'views', 'thread_spans'), { recursive: true });
        },
        'restore the backup': async () => {
          await Promise.all(SERVICES.map((service) => lab.service(service).end('SIGTERM')));
          await administer(lab, [
            `DROP DATABASE ${name} WITH (FORCE)`,
            `CREATE DATABASE ${name} TEMPLATE ${backup}`,
            `DROP DATABASE ${backup}`,
          ]);
        },
        'start every service': async () => {
          await Promise.all(SERVICES.map((service) => lab.start(service)));
        },
      },
      claim: async () => {
        assert.equal((await lab.export(before.processId)).sha256, whole.sha256);
        await replay(lab.service('ingest').url, after.requests);
        await assertExports(lab, after.processId);
      },
    };
  },

  'rotate-keys.md': async (lab) => {
    const restartWith = async (keys: string) => {
      await writeFile(join(lab.scratchDir, 'api-keys'), keys);
      lab.configure({ TRACELAKE_API_KEYS: join(lab.scratchDir, 'api-keys') });
      await lab.restartAll();
    };
    await restartWith('robots:old-secret\n');
    lab.set('OLD_KEY', 'old-secret');
    lab.set('NEW_KEY', 'new-secret');
    return {
      steps: {
        'restart with both keys': () => restartWith('robots:old-secret\nrobots-2:new-secret\n'),
        'restart with the new key': () => restartWith('robots-2:new-secret\n'),
      },
      claim: async () => {
        lab.configure({ TRACELAKE_API_KEYS: '' });
        await lab.restartAll();
      },
    };
  },

  'migrate-store.md': async (lab) => {
    const target = join(lab.scratchDir, 'new-store');
    await mkdir(target);
    const url = pathToFileURL(target).href;
    lab.set('NEW_OBJECT_STORE_URL', url);
    const late = copyProcess(loadFixture('small'));
    return {
      steps: {
        'move every service to the new store': async () => {
          // Comes after the first copy: the second one must take it along.
          await replay(lab.service('ingest').url, late.requests);
          lab.set('OLD_OBJECT_STORE_URL', pathToFileURL(lab.stack.objectsDir).href);
          lab.configure({ TRACELAKE_OBJECT_STORE_URL: url });
          await lab.restartAll();
        },
        'set the old store aside': () => rm(lab.stack.objectsDir, { recursive: true, force: true }),
      },
      claim: () => assertExports(lab, late.processId),
    };
  },
};
