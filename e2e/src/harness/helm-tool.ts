/** Helm and an offline validator of Kubernetes objects, where this machine has them. */

import { execFile } from 'node:child_process';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const OUTPUT_BYTES_MAX = 64 * 1024 * 1024;

export interface Tool {
  readonly command: string;
  readonly version: string;
}

/** Undefined where it is not installed. Go's own directory counts, because `go install` puts it there. */
export async function findHelm(): Promise<Tool | undefined> {
  return await findTool(['helm', join(homedir(), 'go/bin/helm')], ['version', '--short']);
}

/** `kubernetes-validate` of PyPI: it holds the schemas of every version, so it needs no network. */
export async function findKubernetesValidator(): Promise<Tool | undefined> {
  const named = process.env.TRACELAKE_TEST_KUBERNETES_VALIDATE;
  const commands = named === undefined ? [] : [named];
  return await findTool([...commands, 'kubernetes-validate'], ['--version']);
}

/** Runs to the end; `output` is what it printed on both streams. */
export async function runTool(
  command: string,
  args: readonly string[],
): Promise<{ readonly ok: boolean; readonly stdout: string; readonly output: string }> {
  try {
    const { stdout, stderr } = await run(command, [...args], { maxBuffer: OUTPUT_BYTES_MAX });
    return { ok: true, stdout, output: stdout + stderr };
  } catch (error) {
    const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string };
    return { ok: false, stdout, output: stdout + stderr };
  }
}

/** The first of the commands that runs. */
export async function findTool(
  commands: readonly string[],
  versionArgs: readonly string[],
): Promise<Tool | undefined> {
  for (const command of commands) {
    const { ok, output } = await runTool(command, versionArgs);
    if (ok) return { command, version: output.trim() };
  }
  return undefined;
}
