/** A directory for files in work that outlives no process for long. */

import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { claimName, isLeftBehind, ownedNamePrefix, releaseName } from './file-owner.ts';

export interface WorkDirectory extends AsyncDisposable {
  readonly path: string;
}

/**
 * Makes a directory below `parent` whose name begins with `tracelake-<service>-`, removed with everything in it on
 * disposal. What processes of this machine that are no more left there is removed first: a kill leaves no time to
 * clean up. Errors: those of the file system, when `parent` can be neither used nor made.
 */
export async function makeWorkDirectory(parent: string, service: string): Promise<WorkDirectory> {
  const prefix = `tracelake-${service}-`;
  await mkdir(parent, { recursive: true });
  for (const name of await readdir(parent)) {
    if (!isLeftBehind(prefix, name)) continue;
    // Another process may be at it as well, or own it: then it stays.
    await rm(join(parent, name), { recursive: true, force: true }).catch(() => {});
  }
  const path = await mkdtemp(join(parent, ownedNamePrefix(prefix)));
  claimName(basename(path));
  return {
    path,
    async [Symbol.asyncDispose]() {
      await rm(path, { recursive: true, force: true });
      releaseName(basename(path));
    },
  };
}
