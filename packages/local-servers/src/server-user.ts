/**
 * Some servers (Postgres) refuse to run as root. What is here chooses the ordinary user that they run as,
 * and says whether that user can reach a path.
 */
import { readFile, stat } from 'node:fs/promises';
import { dirname } from 'node:path';

export interface ServerUser {
  readonly uid: number;
  readonly gid: number;
}

const PREFERRED_NAMES = ['postgres', 'nobody'];
const OVERFLOW_USER: ServerUser = { uid: 65_534, gid: 65_534 };

export function isRoot(): boolean {
  return process.geteuid?.() === 0;
}

/** The user that a server started by root runs as: `postgres` where there is one, else `nobody`. */
export async function findUnprivilegedUser(): Promise<ServerUser> {
  const passwd = await readFile('/etc/passwd', 'utf8').catch(() => '');
  const lines = passwd.split('\n').map((line) => line.split(':'));
  for (const name of PREFERRED_NAMES) {
    const fields = lines.find((line) => line[0] === name);
    const user = { uid: Number(fields?.[2]), gid: Number(fields?.[3]) };
    if (Number.isInteger(user.uid) && Number.isInteger(user.gid) && user.uid > 0) return user;
  }
  return OVERFLOW_USER;
}

/** Whether `user` may search every directory above `path` and the directory itself. */
export async function canReach(user: ServerUser, path: string): Promise<boolean> {
  for (let directory = path; ; directory = dirname(directory)) {
    const { mode, uid, gid } = await stat(directory);
    const bit = uid === user.uid ? 0o100 : gid === user.gid ? 0o010 : 0o001;
    if ((mode & bit) === 0) return false;
    if (directory === dirname(directory)) return true;
  }
}
