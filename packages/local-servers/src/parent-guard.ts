import { spawn } from 'node:child_process';

export interface ParentGuardOptions {
  readonly pid: number;
  /** What the server is sent when this process is gone. */
  readonly signal: 'INT' | 'TERM';
  /** Directories removed after the server has ended, when this process is gone. */
  readonly removeAfter?: readonly string[];
}

/**
 * Ends a server whose owner dies without stopping it, `kill -9` included: a shell of its own waits for the
 * end of a pipe that only this process holds open. Disposing of the guard lets the server be.
 */
export function guardAgainstParentDeath(options: ParentGuardOptions): Disposable {
  const script = [
    'read -r word && exit 0',
    'server=$1; shift',
    `kill -${options.signal} "$server" 2>/dev/null`,
    'tries=0',
    'while kill -0 "$server" 2>/dev/null && [ $tries -lt 100 ]; do sleep 0.1; tries=$((tries+1)); done',
    '[ $# -eq 0 ] || rm -rf -- "$@"',
  ].join('\n');
  const shell = spawn(
    '/bin/sh',
    ['-c', script, 'parent-guard', String(options.pid), ...(options.removeAfter ?? [])],
    { cwd: '/', detached: true, stdio: ['pipe', 'ignore', 'ignore'] },
  );
  // Without a shell there is no guard; the server itself is not worse off.
  shell.on('error', () => {});
  shell.stdin.on('error', () => {});
  shell.unref();
  (shell.stdin as unknown as { unref?(): void }).unref?.();
  return { [Symbol.dispose]: () => void shell.stdin.end('released\n') };
}
