/** The programs of a Kubernetes that `deploy/helm/build-kubernetes.ts` builds, where the environment names them. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, openSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  CONTROL_PLANE_PROGRAMS,
  type KubernetesProgram,
  NODE_PROGRAMS,
} from '../../../deploy/helm/build-kubernetes.ts';
import { runTool } from './helm-tool.ts';

const VARIABLE = 'TRACELAKE_TEST_KUBERNETES_BIN';

/** The directory that has the programs, or why a test that needs them is skipped. */
export function findControlPlane(): { readonly dir: string } | { readonly missing: string } {
  return findPrograms(CONTROL_PLANE_PROGRAMS);
}

/** As {@link findControlPlane}, with what a node needs: root, containerd and the plugins of its network. */
export function findNode(): { readonly dir: string } | { readonly missing: string } {
  const found = findPrograms([...CONTROL_PLANE_PROGRAMS, ...NODE_PROGRAMS]);
  if ('missing' in found) return found;
  if (process.getuid?.() !== 0) return { missing: 'a kubelet runs as root' };
  const absent = NODE_PATHS.filter((path) => !existsSync(path));
  if (absent.length > 0) return { missing: `a node needs ${absent.join(', ')}` };
  return found;
}

/** Where Debian's packages containerd, runc, iptables and containernetworking-plugins put them. */
export const NETWORK_PLUGINS_DIR = '/usr/lib/cni';
const NODE_PATHS = [
  '/usr/bin/containerd',
  '/usr/sbin/runc',
  '/usr/sbin/iptables',
  `${NETWORK_PLUGINS_DIR}/bridge`,
];

function findPrograms(programs: readonly KubernetesProgram[]) {
  const dir = process.env[VARIABLE];
  if (dir === undefined || dir === '') return { missing: `${VARIABLE} names no directory` };
  const absent = programs.filter((program) => !existsSync(join(dir, program)));
  if (absent.length > 0) return { missing: `${dir} has no ${absent.join(', ')}` };
  return { dir };
}

export interface ProgramOptions {
  readonly command: string;
  readonly args: readonly string[];
  /** What it prints goes there. */
  readonly logPath: string;
  /** How long it may take to end when it is asked to. */
  readonly stopMs?: number;
}

/** A program of a cluster that runs until it is disposed of. */
export class ClusterProgram implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #options: ProgramOptions;
  readonly #exited: Promise<unknown>;

  constructor(options: ProgramOptions) {
    const log = openSync(options.logPath, 'a');
    this.#options = options;
    // A test that is killed takes its cluster with it.
    const command = ['--pdeathsig', 'TERM', '--', options.command, ...options.args];
    this.#child = spawn('setpriv', command, {
      stdio: ['ignore', log, log],
    });
    closeSync(log);
    this.#exited = once(this.#child, 'close').catch(() => {});
  }

  /** Waits until the check holds. Throws with the end of the log when it does not in time, or the program ends. */
  async waitUntil(what: string, check: () => Promise<boolean>, timeoutMs = 60_000): Promise<void> {
    const deadline = Date.now() + timeoutMs;
    while (Date.now() < deadline && this.#child.exitCode === null) {
      if (await check().catch(() => false)) return;
      await sleep(200);
    }
    const log = await readFile(this.#options.logPath, 'utf8');
    throw new Error(`${this.#options.command}: no ${what}\n${log.slice(-4000)}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null) return;
    this.#child.kill('SIGTERM');
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), this.#options.stopMs ?? 5000);
    await this.#exited;
    clearTimeout(timer);
  }
}

/** Runs a tool to its end and gives what it printed on its standard output. Throws when it fails. */
export async function mustRun(command: string, args: readonly string[]): Promise<string> {
  const { ok, stdout, output } = await runTool(command, args);
  if (!ok) throw new Error(`${command} ${args.join(' ')}\n${output}`);
  return stdout;
}
