/** The container engine the tests use, and the reaper that leaves nothing of them behind. */

import { execFile } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

const execute = promisify(execFile);

/** Every container, network and volume of a test run carries this label. */
export const RUN_LABEL = 'org.tracelake.e2e';

/** Runs the docker client and gives its standard output, trimmed. */
export async function docker(...args: string[]): Promise<string> {
  const { stdout } = await execute('docker', args, { maxBuffer: 64 << 20 });
  return stdout.trim();
}

/** Why no container can be started here, or undefined when the engine answers. */
export async function findEngineProblem(): Promise<string | undefined> {
  try {
    await docker('version', '--format', '{{.Server.Version}}');
    return undefined;
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    return `no container engine answers: ${text.split('\n').slice(0, 2).join(' ')}`;
  }
}

/** Removes what an earlier run, killed half-way, may have left. */
export async function reap(): Promise<void> {
  const filter = `label=${RUN_LABEL}`;
  await removeAll(['ps', '-aq', '--filter', filter], ['rm', '-f', '-v']);
  await removeAll(['network', 'ls', '-q', '--filter', filter], ['network', 'rm']);
  await removeAll(['volume', 'ls', '-q', '--filter', filter], ['volume', 'rm', '-f']);
}

const REMOVE_ATTEMPTS = 20;

/** Somebody else may be removing the same thing, and a network has its endpoints a moment longer. */
async function removeAll(list: string[], remove: string[]): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    const found = lines(await docker(...list));
    if (found.length === 0) return;
    try {
      await docker(...remove, ...found);
    } catch (error) {
      if (attempt === REMOVE_ATTEMPTS) throw error;
      await sleep(250);
    }
  }
}

function lines(text: string): string[] {
  return text.split('\n').filter((line) => line !== '');
}
