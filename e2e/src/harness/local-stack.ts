/** `tracelake up` as a person starts it, on a data directory and ports of its own. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort } from './free-port.ts';

const bin = fileURLToPath(new URL('../../../packages/cli/bin/tracelake.mjs', import.meta.url));

export const portVariables = {
  ingest: 'TRACELAKE_INGEST_PORT',
  'trace-export': 'TRACELAKE_TRACE_EXPORT_PORT',
  query: 'TRACELAKE_QUERY_PORT',
  materializer: 'TRACELAKE_MATERIALIZER_PORT',
} as const;

export type StackService = keyof typeof portVariables;
export type StackPorts = Readonly<Record<StackService, number>>;

export interface CommandResult {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Starts a `tracelake` command with the ports of a stack in its environment. */
function startCommand(argv: readonly string[], ports: StackPorts, cwd: string): ChildProcess {
  const env: NodeJS.ProcessEnv = { ...process.env };
  for (const name of Object.keys(env)) if (name.startsWith('TRACELAKE_')) delete env[name];
  for (const [service, variable] of Object.entries(portVariables)) {
    env[variable] = String(ports[service as StackService]);
  }
  return spawn(process.execPath, [bin, ...argv], { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
}

/** Runs a command to its end. */
export async function runCommand(
  argv: readonly string[],
  ports: StackPorts,
  cwd: string,
): Promise<CommandResult> {
  const child = startCommand(argv, ports, cwd);
  const output = collect(child);
  const [status] = (await once(child, 'close')) as [number | null];
  return { status, stdout: output.stdout, stderr: output.stderr };
}

export interface RunningStack {
  readonly child: ChildProcess;
  /** What it printed, the last line being the command that opens a trace. */
  readonly banner: string;
  /** Sends a signal and waits for the end; gives the exit status. */
  end(signal: NodeJS.Signals): Promise<number | null>;
}

/** Starts a stack and waits for its last line. Throws with all it said when it ends before that. */
export async function startStack(
  dataDir: string,
  ports: StackPorts,
  options: readonly string[] = [],
): Promise<RunningStack> {
  const child = startCommand(['up', '--data-dir', dataDir, ...options], ports, dataDir);
  const output = collect(child);
  const closed = once(child, 'close');
  const ready = new Promise<boolean>((resolve) => {
    child.stdout?.on('data', () => {
      if (/npx tracelake .*\n$/.test(output.stdout)) resolve(true);
    });
    closed.then(() => resolve(false));
  });
  if (!(await ready)) {
    throw new Error(`the stack ended early:\n${output.stdout}\n${output.stderr}`);
  }
  return {
    child,
    banner: output.stdout,
    end: async (signal) => {
      child.kill(signal);
      const [status] = (await closed) as [number | null];
      return status;
    },
  };
}

/** The process id that a service logged at its latest start. */
export async function findServicePid(dataDir: string, service: StackService): Promise<number> {
  const text = await readFile(path.join(dataDir, 'logs', `${service}.log`), 'utf8');
  const pids = [
    ...text.matchAll(
      /"msg":"service starting".*?"pid":(\d+)|"pid":(\d+).*?"msg":"service starting"/g,
    ),
  ];
  const last = pids.at(-1);
  return Number(last?.[1] ?? last?.[2] ?? Number.NaN);
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

export async function chooseStackPorts(): Promise<StackPorts> {
  const [ingest = 0, traceExport = 0, query = 0, materializer = 0] = await Promise.all([
    freePort(),
    freePort(),
    freePort(),
    freePort(),
  ]);
  return { ingest, 'trace-export': traceExport, query, materializer };
}

function collect(child: ChildProcess): { stdout: string; stderr: string } {
  const output = { stdout: '', stderr: '' };
  child.stdout?.on('data', (chunk: Buffer) => {
    output.stdout += chunk.toString();
  });
  child.stderr?.on('data', (chunk: Buffer) => {
    output.stderr += chunk.toString();
  });
  return output;
}
