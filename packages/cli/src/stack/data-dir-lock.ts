/**
 * One stack for a data directory: `up.lock` names the process that holds it. A lock whose process is
 * gone, or whose id now belongs to another process, is stale and is taken over.
 */
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { CliError } from '../cli-error.ts';

const lockName = 'up.lock';

interface LockContent {
  readonly pid: number;
  /** Where the system tells: when that process started, so that a reused id is noticed. */
  readonly processStart: string | undefined;
}

/** Makes the directory and locks it. Throws `cli.stack` when another stack has it or it cannot be written. */
export async function lockDataDir(dataDir: string): Promise<AsyncDisposable> {
  await makeDirectory(dataDir);
  const file = path.join(dataDir, lockName);
  const content: LockContent = {
    pid: process.pid,
    processStart: await processStartOf(process.pid),
  };
  while (!(await tryCreate(file, JSON.stringify(content)))) {
    const text = await readFile(file, 'utf8').catch(() => undefined);
    if (text === undefined) continue;
    const holder = await findHolder(text);
    if (holder !== undefined) throw alreadyRunning(dataDir, holder);
    await takeAside(file, text);
  }
  return { [Symbol.asyncDispose]: () => rm(file, { force: true }) };
}

/** The process that runs a stack on this data directory, if one does. */
export async function findStackHolder(dataDir: string): Promise<number | undefined> {
  const text = await readFile(path.join(dataDir, lockName), 'utf8').catch(() => undefined);
  return text === undefined ? undefined : await findHolder(text);
}

async function makeDirectory(dataDir: string): Promise<void> {
  try {
    await mkdir(dataDir, { recursive: true });
  } catch (cause) {
    throw unwritable(dataDir, cause);
  }
}

async function tryCreate(file: string, text: string): Promise<boolean> {
  try {
    await writeFile(file, text, { flag: 'wx' });
    return true;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw unwritable(path.dirname(file), cause);
  }
}

/** The process that holds the lock, or undefined when the lock is stale. */
async function findHolder(text: string): Promise<number | undefined> {
  let content: Partial<LockContent>;
  try {
    content = JSON.parse(text) as Partial<LockContent>;
  } catch {
    return undefined;
  }
  const { pid, processStart } = content;
  if (typeof pid !== 'number' || !isRunning(pid)) return undefined;
  const startNow = await processStartOf(pid);
  const isReused =
    processStart !== undefined && startNow !== undefined && processStart !== startNow;
  return isReused ? undefined : pid;
}

/** Removes a stale lock; when another start was quicker and locked anew, its lock goes back. */
async function takeAside(file: string, staleText: string): Promise<void> {
  const aside = `${file}.${process.pid}`;
  try {
    await rename(file, aside);
    if ((await readFile(aside, 'utf8')) === staleText) await rm(aside);
    else await rename(aside, file);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ENOENT') {
      throw unwritable(path.dirname(file), cause);
    }
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}

/** Field 22 of /proc/PID/stat; undefined where there is no /proc. */
async function processStartOf(pid: number): Promise<string | undefined> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
  return text?.slice(text.lastIndexOf(')') + 2).split(' ')[19];
}

function alreadyRunning(dataDir: string, pid: number): CliError {
  return new CliError(
    'cli.stack',
    `a stack already runs on ${dataDir} (process ${pid}). Use it, stop it with Ctrl-C or ` +
      `"kill ${pid}", or start another one with --data-dir and other ports (TRACELAKE_INGEST_PORT, ` +
      'TRACELAKE_TRACE_EXPORT_PORT, TRACELAKE_QUERY_PORT, TRACELAKE_MATERIALIZER_PORT)',
    { details: { dataDir, pid } },
  );
}

function unwritable(dataDir: string, cause: unknown): CliError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new CliError(
    'cli.stack',
    `the data directory ${dataDir} cannot be written (${reason}): name another one with --data-dir ` +
      'or TRACELAKE_DATA_DIR, or start as the user it belongs to',
    { cause },
  );
}
