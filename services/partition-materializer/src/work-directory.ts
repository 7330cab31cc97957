import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';

export interface WorkDirectory extends AsyncDisposable {
  readonly path: string;
}

const PREFIX = 'tracelake-materializer-';

/**
 * Makes a directory below `parent` for files in work, removed on disposal. What processes of this machine
 * that are no more left there is removed first: a kill leaves no time to clean up.
 */
export async function makeWorkDirectory(parent: string): Promise<WorkDirectory> {
  for (const name of await readdir(parent)) {
    if (!isLeftBehind(name)) continue;
    // Another process may be at it as well, or own it: then it stays.
    await rm(join(parent, name), { recursive: true, force: true }).catch(() => {});
  }
  const path = await mkdtemp(join(parent, `${PREFIX}${process.pid}-`));
  return {
    path,
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }),
  };
}

function isLeftBehind(name: string): boolean {
  if (!name.startsWith(PREFIX)) return false;
  const pid = Number.parseInt(name.slice(PREFIX.length), 10);
  if (!Number.isInteger(pid) || pid === process.pid) return false;
  try {
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return (error as { code?: unknown }).code === 'ESRCH';
  }
}
