/**
 * Scenario: replicas run as processes of their own under load; they come, are killed, stopped and woken, and leave.
 * Guarantees: each lane is committed to by its owner alone, has an owner again within its lease and a little, every
 * block is materialized once, and nothing is built by two unless a claim has expired.
 */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { laneOf } from '@tracelake/bus';
import { ensureExists, parseProcessId } from '@tracelake/domain';
import { LaneLeaseRepository, sql } from '@tracelake/storage';
import {
  type IngestRequest,
  RecordingBuilder,
  type ServiceProcess,
  seededRandom,
  startServiceProcess,
} from '@tracelake/test-kit';
import { CommitAudit } from '../test/commit-audit.ts';
import { eventually, LANES, openServiceLab, type ServiceLab } from '../test/service-lab.ts';
import { readViewRows } from '../test/view-rows.ts';

const LEASE_MS = 2000;
/** Beyond the lease: until a replica looks again, on a machine that is busy with other tests. */
const BOUND_MS = 8000;

let lab: ServiceLab;
let audit: CommitAudit;
before(async () => {
  lab = await openServiceLab();
  audit = await CommitAudit.install(lab.lake.database);
});
after(async () => {
  await audit.dropRoles();
  await lab[Symbol.asyncDispose]();
});

interface Replica extends AsyncDisposable {
  readonly role: string;
  kill(): Promise<void>;
  stop(): void;
  wake(): void;
}

let nextReplica = 1;

/** Each has a database role of its own, so that the database knows who does what. */
async function startReplica(): Promise<Replica> {
  const url = new URL(lab.lake.databaseUrl);
  const role = `replica_${process.pid}_${nextReplica++}`;
  await audit.createRole(role, decodeURIComponent(url.password));
  url.username = role;
  const environment = {
    ...lab.environment,
    TRACELAKE_DATABASE_URL: url.href,
    TRACELAKE_MATERIALIZER_LANE_LEASE_S: String(LEASE_MS / 1000),
    TRACELAKE_MATERIALIZER_TEMP_DIR: lab.lake.directory,
  };
  const service: ServiceProcess = await startServiceProcess('partition-materializer', environment);
  const { child } = service;
  const exited = new Promise((resolve) => child.once('exit', resolve));
  return {
    role,
    kill: async () => {
      child.kill('SIGKILL');
      await exited;
    },
    stop: () => void child.kill('SIGSTOP'),
    wake: () => void child.kill('SIGCONT'),
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGCONT');
      await service[Symbol.asyncDispose]();
    },
  };
}

/** Waits until these replicas and no others own all lanes, each at least one; resolves with how long it took. */
async function untilShared(...replicas: readonly Replica[]): Promise<number> {
  const startMs = performance.now();
  const wanted = replicas.map(({ role }) => role).sort();
  const check = async () => {
    const owners = [...(await audit.owners())].filter(([lane]) => lane < LANES);
    const roles = new Set(owners.map(([, role]) => role));
    return owners.length === LANES && [...roles].sort().join() === wanted.join();
  };
  await eventually(`lanes of ${wanted}`, check, LEASE_MS + BOUND_MS);
  return performance.now() - startMs;
}

interface Recorded {
  readonly processId: string;
  readonly streamId: string;
  readonly requests: IngestRequest[];
  readonly blockCount: number;
}

const idOf = (processId: string) => ensureExists(parseProcessId(processId), 'process id');

const SPANS_A_BLOCK = 20;

function record(seed: number, blockCount: number): Recorded {
  const recording = new RecordingBuilder({ seed, frequencyHz: 1e9 });
  const thread = recording.addThread({ name: 'worker', id: '1' });
  const scope = { name: 'step', target: 't', file: 'f.rs', line: 3 };
  for (let block = 0; block < blockCount; block++) {
    for (let span = 0; span < SPANS_A_BLOCK; span++) {
      const ticks = block * 100_000 + span * 1000;
      thread.begin(scope, ticks);
      thread.end(scope, ticks + 500);
    }
    thread.flushBlock();
    recording.log({ ticks: block * 100_000, message: `block ${block}` });
    recording.logStream.flushBlock();
  }
  const { processId } = recording;
  const { streamId } = thread.stream;
  return { processId, streamId, requests: recording.requests(), blockCount };
}

/** Sends the blocks of all processes, a little at a time, and asks for their spans now and then, until it is told to end. */
class Load {
  readonly recorded: Recorded[];
  #isEnding = false;
  #requests = 0;
  readonly #running: Promise<void>;

  constructor(seed: number) {
    const lanes = new Set<number>();
    this.recorded = [];
    // Enough processes for each lane to have some.
    for (let next = seed; lanes.size < LANES || this.recorded.length < 6; next++) {
      const recorded = record(next, 40);
      lanes.add(laneOf(idOf(recorded.processId), LANES));
      this.recorded.push(recorded);
    }
    this.#running = this.#run();
  }

  async #run(): Promise<void> {
    const most = Math.max(...this.recorded.map(({ requests }) => requests.length));
    for (let index = 0; index < most; index++) {
      for (const { requests } of this.recorded) {
        const request = requests[index];
        if (request !== undefined) await lab.ingest(request);
      }
      if (index % 10 === 9) await this.requestSpans();
      if (!this.#isEnding) await sleep(200);
    }
  }

  async requestSpans(): Promise<void> {
    for (const { processId, streamId } of this.recorded) {
      const request = { viewSet: 'thread_spans', instance: streamId, processId: idOf(processId) };
      const about = { wantedHash: 'w', attempt: ++this.#requests };
      const range = { beginNs: undefined, endNs: undefined };
      await lab.bus.requestMaterialization({ ...request, ...about, ...range });
    }
  }

  /** Sends the rest without pauses. */
  async finish(): Promise<void> {
    this.#isEnding = true;
    await this.#running;
    await this.requestSpans();
  }
}

async function countRows(viewSet: string, instance: string): Promise<number> {
  const columns = viewSet === 'log_entries' ? ['msg'] : ['id', 'depth'];
  const rows = await readViewRows(lab.lake, { viewSet, instance, columns });
  const own = viewSet === 'log_entries' ? rows : rows.filter(([, depth]) => depth !== '0');
  assert.equal(new Set(own.map(String)).size, own.length, 'no row twice');
  return own.length;
}

test('1, 3, 2, 1 replicas under load: killed, stopped, woken, and no lane is worked by two or left alone', async () => {
  const { seed } = seededRandom(Number(process.env.TEST_SEED ?? Date.now() % 1_000_000));
  console.log(`seed ${seed}`);
  const tookMs: Record<string, number> = {};
  const first = await startReplica();
  await using replicas = new AsyncDisposableStack();
  replicas.use(first);
  tookMs['one replica'] = await untilShared(first);
  const load = new Load(seed);
  const second = await startReplica();
  const third = replicas.use(await startReplica());
  tookMs['three replicas'] = await untilShared(first, second, third);
  await second.kill();
  tookMs['after kill -9 of one'] = await untilShared(first, third);
  third.stop();
  tookMs['after SIGSTOP of another'] = await untilShared(first);
  third.wake();
  tookMs['after SIGCONT'] = await untilShared(first, third);
  await third[Symbol.asyncDispose]();
  tookMs['after SIGTERM'] = await untilShared(first);
  const before = await new LaneLeaseRepository(lab.lake.database).list();
  first.stop();
  await sleep(LEASE_MS * 1.5);
  first.wake();
  await load.finish();
  for (const { processId, streamId, blockCount } of load.recorded) {
    const hasAll = async () =>
      (await countRows('log_entries', processId)) === blockCount &&
      (await countRows('thread_spans', streamId)) === blockCount * SPANS_A_BLOCK;
    await eventually('every block', hasAll, 60_000);
  }
  const fencing = (leases: typeof before) => leases.map((lease) => lease.fencingNumber);
  const now = await new LaneLeaseRepository(lab.lake.database).list();
  assert.deepEqual(fencing(now), fencing(before), 'a replica that wakes alone keeps its lanes');
  const { commits, rebuiltAfterExpiry } = await audit.check({
    laneOfInstance: (instance) => {
      const recorded = load.recorded.find(
        ({ processId, streamId }) => processId === instance || streamId === instance,
      );
      return recorded && laneOf(idOf(recorded.processId), LANES);
    },
  });
  console.table({ ...tookMs, commits, rebuiltAfterExpiry });
  const [{ uncovered } = { uncovered: -1n }] = await lab.lake.database.query<{ uncovered: bigint }>(
    sql`SELECT count(*) AS uncovered FROM blocks b WHERE NOT EXISTS (
      SELECT FROM partition_blocks c WHERE c.block_id = b.block_id)`,
  );
  assert.equal(uncovered, 0n);
});
