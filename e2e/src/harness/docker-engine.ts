/** The container engine the tests use, and the reaper that leaves nothing of them behind. */

import { execFile } from 'node:child_process';
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
  const containers = lines(await docker('ps', '-aq', '--filter', filter));
  if (containers.length > 0) await docker('rm', '-f', '-v', ...containers);
  const networks = lines(await docker('network', 'ls', '-q', '--filter', filter));
  if (networks.length > 0) await docker('network', 'rm', ...networks);
  const volumes = lines(await docker('volume', 'ls', '-q', '--filter', filter));
  if (volumes.length > 0) await docker('volume', 'rm', '-f', ...volumes);
}

function lines(text: string): string[] {
  return text.split('\n').filter((line) => line !== '');
}
