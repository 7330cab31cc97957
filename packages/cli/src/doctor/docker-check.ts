import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

type Environment = Readonly<Record<string, string | undefined>>;

/** Why the end-to-end tests cannot use a container engine, with the way out, or undefined when they can. */
export async function findDockerProblem(
  env: Environment,
  signal: AbortSignal,
): Promise<string | undefined> {
  try {
    await promisify(execFile)('docker', ['version', '--format', '{{.Server.Version}}'], {
      env: env as NodeJS.ProcessEnv,
      timeout: 10_000,
      signal,
    });
    return undefined;
  } catch (error) {
    signal.throwIfAborted();
    const { code, stderr = '' } = error as { code?: unknown; stderr?: string };
    if (process.getuid?.() === 0) {
      return '"npm test" installs what is missing (Debian) and starts an engine of its own as root';
    }
    if (code === 'ENOENT') return 'install Docker (on Debian: apt-get install docker.io)';
    if (stderr.includes('permission denied')) return 'add this user to the group "docker"';
    return 'no engine answers; start it (systemctl start docker) or set DOCKER_HOST';
  }
}
