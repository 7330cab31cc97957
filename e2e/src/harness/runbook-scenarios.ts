/**
 * What a test does around a runbook page: causes the fault that the page is for, does the steps that an orchestrator
 * would do, and afterwards looks whether what the page promises is so. A page that is not here runs on a healthy system.
 */

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { connectBus } from '@tracelake/bus';
import type { ProcessId } from '@tracelake/domain';
import { loadFixture } from '@tracelake/test-kit';
import pg from 'pg';
import { exportTrace, replay, type TelemetryRequest } from './client.ts';
import { copyProcess } from './fixture-copy.ts';
import { type RunbookLab, SERVICES } from './runbook-lab.ts';

type Action = () => Promise<void>;

export interface Scenario {
  /** By the names that the page gives them. */
  readonly steps?: Readonly<Record<string, Action>>;
  readonly claim?: Action;
}

/** Brings about what the page is for. */
export type Arrange = (lab: RunbookLab) => Promise<Scenario>;

/** Pages after which a system is not as it was: each has one of its own. */
export const PAGES_WITH_OWN_SYSTEM: ReadonlySet<string> = new Set([
  'migrate-store.md',
  'restore-postgres.md',
  'rotate-keys.md',
  'scale.md',
]);

const postgresOutage: Arrange = async (lab) => {
  await setConnections(lab, 'refused');
  return { steps: { 'bring Postgres back': () => setConnections(lab, 'allowed') } };
};

const materializerGone: Arrange = async (lab) => {
  await lab.service('partition-materializer').end('SIGKILL');
  const copy = await lab.sendProcess();
  return { claim: () => assertExports(lab, copy.processId) };
};

const deadLetter: Arrange = async (lab) => {
  await using bus = await connectBus({ servers: lab.nats.url, name: 'runbooks', lanes: 8 });
  const copy = copyProcess(loadFixture('small'));
  // A request for what nobody knows yet can never succeed: it is put aside at once.
  await bus.requestMaterialization({
    processId: copy.processId,
    viewSet: 'async_events',
    instance: copy.processId,
    beginNs: undefined,
    endNs: undefined,
    wantedHash: '0'.repeat(64),
    attempt: 1,
  });
  lab.set('DEAD_PROCESS_ID', copy.processId);
  return {
    steps: {
      'mend the cause': () => replay(lab.service('ingest').url, copy.requests),
    },
    claim: () => assertExports(lab, copy.processId),
  };
};

/** A block's object is damaged, and what was built from it is gone. */
const poisonedBlock: Arrange = async (lab) => {
  const copy = await lab.sendProcess();
  const good = await lab.export(copy.processId);
  const streams = copy.fixture.expectedThreadSpanStreams().map(copy.idOf);
  const [stream = ''] = streams;
  const directory = join(lab.stack.objectsDir, 'blobs', copy.processId, stream);
  const [blockId = ''] = await readdir(directory);
  const file = join(directory, blockId);
  const bytes = await readFile(file);
  await rm(file);
  await writeFile(file, bytes.subarray(0, bytes.length / 2));
  await lab.sql(`DELETE FROM partitions WHERE instance = '${stream}'`);
  lab.set('BLOCK_ID', blockId);
  lab.set('STREAM_ID', stream);
  // Asked for directly: a request like the last one counts as the same on the bus for two minutes.
  const url = `${lab.service('partition-materializer').url}/v1/materialize/thread_spans/${stream}`;
  assert.equal((await fetch(url, { method: 'POST' })).status, 200);
  const damaged = await lab.export(copy.processId);
  assert.equal(damaged.headers.get('tracelake-blocks-rejected'), '1');
  return {
    steps: {
      'put the object back': async () => {
        await rm(file);
        await writeFile(file, bytes);
      },
    },
    claim: async () =>
      assert.equal((await lab.export(copy.processId)).sha256, good.sha256, 'the whole trace again'),
  };
};

const scenarios: Readonly<Record<string, Arrange>> = {
  'ingest-errors.md': postgresOutage,
  'service-not-ready.md': postgresOutage,
  'poisoned-block.md': poisonedBlock,
  'blocks-rejected.md': poisonedBlock,
  'dead-letters.md': deadLetter,
  'replay-dead-letter.md': deadLetter,
  'consumer-lag.md': materializerGone,
  'freshness-lag.md': materializerGone,
  'lane-without-owner.md': materializerGone,
  'export-errors.md': materializerGone,
  'query-errors.md': materializerGone,

  'service-down.md': async (lab) => {
    await lab.service('trace-export').end('SIGKILL');
    return {};
  },

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

  'blocks-pending.md': async (lab) => {
    const copy = copyProcess(loadFixture('small'));
    const isStream = ({ path }: TelemetryRequest) => path.endsWith('insert_stream');
    const ingest = lab.service('ingest').url;
    await replay(
      ingest,
      copy.requests.filter((request) => !isStream(request)),
    );
    return {
      steps: { 'the client sends the rest': () => replay(ingest, copy.requests.filter(isStream)) },
      claim: () => assertExports(lab, copy.processId),
    };
  },

  'retention.md': async (lab) => {
    const old = copyProcess(loadFixture('small'));
    await replay(lab.service('ingest').url, old.requests);
    await lab.export(old.processId);
    lab.set('OLD_PROCESS_ID', old.processId);
    return {
      claim: async () => {
        const left = await readdir(join(lab.stack.objectsDir, 'blobs'));
        assert.ok(!left.includes(old.processId), 'its objects are gone');
        const answer = await fetch(
          `${lab.service('trace-export').url}/v1/processes/${old.processId}/trace`,
        );
        assert.equal(answer.status, 404);
      },
    };
  },

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

  'scale.md': async (lab) => ({
    steps: {
      'two more materializers': async () => {
        await lab.addReplica('partition-materializer');
        await lab.addReplica('partition-materializer');
      },
    },
  }),

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

/** Causes the fault of a page; a page without one finds a healthy system. */
export async function arrangePage(file: string, lab: RunbookLab): Promise<Scenario> {
  return (await scenarios[file]?.(lab)) ?? {};
}

/** Steps that mean the same on every page. */
export function commonStep(name: string, lab: RunbookLab): Action | undefined {
  const [, verb, service] = /^(restart|start) (.+)$/.exec(name) ?? [];
  const found = SERVICES.find((candidate) => candidate === service);
  if (found === undefined) return undefined;
  return () => (verb === 'restart' ? lab.restart(found) : lab.start(found));
}

async function assertExports(lab: RunbookLab, processId: ProcessId): Promise<void> {
  const { bytes } = await exportTrace(lab.service('trace-export').url, processId);
  assert.ok(bytes.length > 1000, `the trace of ${processId} has ${bytes.length} bytes`);
}

/** Postgres as the services see it when it is away: no connection is let in, those that are open end. */
async function setConnections(lab: RunbookLab, state: 'allowed' | 'refused'): Promise<void> {
  const name = new URL(lab.stack.databaseUrl).pathname.slice(1);
  await administer(lab, [
    `ALTER DATABASE ${name} WITH ALLOW_CONNECTIONS ${state === 'allowed'}`,
    ...(state === 'refused'
      ? [`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '${name}'`]
      : []),
  ]);
}

async function administer(lab: RunbookLab, statements: readonly string[]): Promise<void> {
  const url = new URL(lab.stack.databaseUrl);
  url.pathname = '/postgres';
  const client = new pg.Client({ connectionString: url.href });
  await client.connect();
  try {
    for (const statement of statements) await client.query(statement);
  } finally {
    await client.end();
  }
}
