/**
 * A whole system with telemetry in it, in which the commands of a runbook page run as an operator types them:
 * bash, `curl`, and `tracelake` on the path, in a directory of their own.
 */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { loadFixture, type TestNats } from '@tracelake/test-kit';
import pg from 'pg';
import { type ExportedTrace, exportEventually, replay } from './client.ts';
import { copyProcess, type ProcessCopy } from './fixture-copy.ts';
import {
  type ProcessStack,
  type ServiceName,
  type ServiceProcess,
  startProcessStack,
} from './process-stack.ts';
import type { RunBlock } from './runbook-page.ts';

export const SERVICES = ['ingest', 'partition-materializer', 'trace-export', 'query'] as const;

type Environment = Readonly<Record<string, string>>;

/** What makes minutes of waiting into seconds; nothing else differs from the defaults. */
const QUICK: Readonly<Record<ServiceName, Environment>> = {
  ingest: { TRACELAKE_INGEST_SWEEP_INTERVAL_S: '1' },
  'partition-materializer': {
    TRACELAKE_MATERIALIZER_LANE_LEASE_S: '2',
    TRACELAKE_MATERIALIZER_SWEEP_INTERVAL_S: '1',
    TRACELAKE_MATERIALIZER_CATCH_UP_INTERVAL_S: '2',
  },
  'trace-export': { TRACELAKE_MATERIALIZE_TIMEOUT_S: '30' },
  query: { TRACELAKE_MATERIALIZE_TIMEOUT_S: '30' },
};
const COMMAND_TIMEOUT_MS = 90_000;
const ROOT = join(import.meta.dirname, '../../..');

export class RunbookLab implements AsyncDisposable {
  readonly stack: ProcessStack;
  /** Where commands run; they may leave files there. */
  readonly scratchDir: string;
  readonly #processes: Map<ServiceName, ServiceProcess>;
  readonly #variables = new Map<string, string>();
  #serviceEnv: Environment = {};
  #workspaceDir: string | undefined;
  readonly #cleanUp = new AsyncDisposableStack();

  private constructor(
    stack: ProcessStack,
    scratchDir: string,
    processes: Map<ServiceName, ServiceProcess>,
  ) {
    this.stack = stack;
    this.scratchDir = scratchDir;
    this.#processes = processes;
  }

  static async open(): Promise<RunbookLab> {
    const stack = await startProcessStack({
      ingest: { env: QUICK.ingest },
      'partition-materializer': { env: QUICK['partition-materializer'] },
      'trace-export': { env: QUICK['trace-export'] },
    });
    try {
      const query = await stack.startService('query', { env: QUICK.query });
      const scratchDir = await mkdtemp(join(tmpdir(), 'tracelake-runbook-'));
      await writeTool(join(scratchDir, 'bin'));
      const processes = new Map<ServiceName, ServiceProcess>([
        ['ingest', stack.ingest],
        ['partition-materializer', stack.materializer],
        ['trace-export', stack.traceExport],
        ['query', query],
      ]);
      return new RunbookLab(stack, scratchDir, processes);
    } catch (error) {
      await stack[Symbol.asyncDispose]();
      throw error;
    }
  }

  get nats(): TestNats {
    return this.stack.nats;
  }

  service(name: ServiceName): ServiceProcess {
    const found = this.#processes.get(name);
    if (found === undefined) throw new Error(`${name} does not run`);
    return found;
  }

  /** Sets a variable for the commands that follow. */
  set(name: string, value: string): void {
    this.#variables.set(name, value);
  }

  /** Settings that services have from their next start on. */
  configure(env: Environment): void {
    this.#serviceEnv = { ...this.#serviceEnv, ...env };
  }

  /** Runs when the system has ended, the last one first. */
  defer(cleanUp: () => Promise<unknown>): void {
    this.#cleanUp.defer(async () => {
      await cleanUp();
    });
  }

  /** Whose code commands run, and services from their next start on; undefined is this repository's. */
  async useRelease(workspaceDir: string | undefined): Promise<void> {
    this.#workspaceDir = workspaceDir;
    await writeTool(join(this.scratchDir, 'bin'), workspaceDir);
  }

  async restart(name: ServiceName, own: Environment = {}): Promise<void> {
    await this.service(name).end('SIGTERM');
    await this.start(name, own);
  }

  async start(name: ServiceName, own: Environment = {}): Promise<void> {
    const env = { ...QUICK[name], ...this.#serviceEnv, ...own };
    const release = this.#workspaceDir === undefined ? {} : { workspaceDir: this.#workspaceDir };
    this.#processes.set(name, await this.stack.startService(name, { ...release, env }));
  }

  async restartAll(): Promise<void> {
    await Promise.all(SERVICES.map((name) => this.restart(name)));
  }

  /** One more replica beside the one that the variables name. */
  async addReplica(name: ServiceName): Promise<ServiceProcess> {
    return await this.stack.startService(name, { env: { ...QUICK[name], ...this.#serviceEnv } });
  }

  /** Sends a recorded process under ids of its own and makes it the one that commands are about. */
  async sendProcess(fixtureName = 'small'): Promise<ProcessCopy> {
    const copy = copyProcess(loadFixture(fixtureName));
    await replay(this.service('ingest').url, copy.requests);
    this.set('PROCESS_ID', copy.processId);
    const [stream] = copy.fixture.expectedThreadSpanStreams();
    if (stream !== undefined) this.set('STREAM_ID', copy.idOf(stream));
    return copy;
  }

  async export(processId: string): Promise<ExportedTrace> {
    return await exportEventually(this.service('trace-export').url, processId, 60_000);
  }

  /** Rows as lines of values with tabs between them. */
  async sql(text: string): Promise<string> {
    const client = new pg.Client({ connectionString: this.stack.databaseUrl });
    await client.connect();
    try {
      const answer = await client.query({ text, rowMode: 'array' });
      // Several statements give an answer each; the last one counts.
      const last = Array.isArray(answer) ? answer.at(-1) : answer;
      return (last.rows as unknown[][]).map((row) => row.map(String).join('\t')).join('\n');
    } finally {
      await client.end();
    }
  }

  /** Runs a block of a page; throws with what it printed when it does not do what the page says. */
  async run(block: RunBlock): Promise<void> {
    const deadline = Date.now() + block.withinS * 1000;
    for (;;) {
      const { status, output } = await this.#runOnce(block);
      if (status === 0 && (block.expect?.test(output) ?? true)) return;
      if (Date.now() >= deadline) {
        const wanted = block.expect === undefined ? '' : `, which should match ${block.expect}`;
        throw new Error(
          `line ${block.line} exited with ${status} and printed${wanted}:\n${output}\n--- of\n${block.text}`,
        );
      }
      await sleep(500);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stack[Symbol.asyncDispose]();
    await this.#cleanUp.disposeAsync();
    await rm(this.scratchDir, { recursive: true, force: true });
  }

  async #runOnce({ language, text }: RunBlock): Promise<{ status: number; output: string }> {
    if (language === 'sql') {
      const named = text.replaceAll(
        /\$([A-Z_]+)/g,
        (whole, name) => this.#variables.get(name) ?? whole,
      );
      return { status: 0, output: await this.sql(named) };
    }
    const child = spawn('bash', ['-euo', 'pipefail', '-c', text], {
      cwd: this.scratchDir,
      env: this.#environment(),
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: COMMAND_TIMEOUT_MS,
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (part: string) => {
        output += part;
      });
    }
    const [status] = (await once(child, 'close')) as [number | null];
    return { status: status ?? -1, output };
  }

  #environment(): NodeJS.ProcessEnv {
    const storeUrl =
      this.#serviceEnv.TRACELAKE_OBJECT_STORE_URL ?? pathToFileURL(this.stack.objectsDir).href;
    const portOf = (name: ServiceName) => new URL(this.service(name).url).port;
    return {
      PATH: `${join(this.scratchDir, 'bin')}:${process.env.PATH}`,
      HOME: this.scratchDir,
      INGEST_URL: this.service('ingest').url,
      EXPORT_URL: this.service('trace-export').url,
      QUERY_URL: this.service('query').url,
      MATERIALIZER_URL: this.service('partition-materializer').url,
      DATABASE_URL: this.stack.databaseUrl,
      NATS_URL: this.nats.url,
      OBJECT_STORE_URL: storeUrl,
      TRACELAKE_URL: 'http://127.0.0.1',
      TRACELAKE_INGEST_PORT: portOf('ingest'),
      TRACELAKE_TRACE_EXPORT_PORT: portOf('trace-export'),
      TRACELAKE_QUERY_PORT: portOf('query'),
      TRACELAKE_MATERIALIZER_PORT: portOf('partition-materializer'),
      TRACELAKE_DATABASE_URL: this.stack.databaseUrl,
      TRACELAKE_NATS_URL: this.nats.url,
      TRACELAKE_OBJECT_STORE_URL: storeUrl,
      ...Object.fromEntries(this.#variables),
    };
  }
}

async function writeTool(directory: string, workspaceDir = ROOT): Promise<void> {
  await mkdir(directory, { recursive: true });
  const file = join(directory, 'tracelake');
  const main = join(workspaceDir, 'packages/cli/src/main.ts');
  await writeFile(file, `#!/bin/sh\nexec '${process.execPath}' '${main}' "$@"\n`);
  await chmod(file, 0o755);
}
