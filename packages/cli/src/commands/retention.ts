import { type ProcessId, parseProcessId } from '@tracelake/domain';
import {
  type Database,
  findMomentBack,
  listNewestBlockKeys,
  listQuietProcesses,
  type ObjectStore,
  openDatabase,
  openObjectStore,
  StorageError,
} from '@tracelake/storage';
import { CliError, exitStatus, usageError } from '../cli-error.ts';
import type { Command, CommandArguments, CommandContext } from '../command.ts';
import { readAgeArgument } from '../output/time-argument.ts';
import { Retention } from '../retention/retention.ts';
import { storageFailure } from '../storage-failure.ts';

const help = `Usage: tracelake retention --older-than AGE [--process ID] [--limit N] [--dry-run]
       tracelake retention --process ID [--dry-run]

Deletes processes for good: rows, raw blocks and partitions. A process goes whole, once
nothing of it has come for AGE (30d, 12h): the block that came last counts, so a program
that still runs keeps all it ever sent. There is no way back without a backup.

Needs TRACELAKE_DATABASE_URL and TRACELAKE_OBJECT_STORE_URL (TRACELAKE_S3_ENDPOINT_URL for
a store that is not AWS's). The lake may run meanwhile. Each process vanishes at once, for
everybody: its export is a 404. Then its blocks go in batches, objects before rows, so that
after an interruption or a kill the next run finds what is left. Files of partitions are
retired: the materializer's sweeper deletes them within minutes, once no reader holds them.
What comes of a process after it was deleted is kept and pending until it is AGE old too.

  --older-than AGE   1h at least, unless --process names one
  --process ID       only this one; without --older-than whatever its age
  --limit N          at most so many processes, the oldest first
  --dry-run          deletes nothing; says what would go
  --concurrency N    objects deleted at once (default 16)
  --json             a line of JSON for each process, when it is gone, and one for the whole:
                     {"process_id", "exe", "newest", "blocks", "block_bytes", "partitions"},
                     {"processes", "blocks", "block_bytes", "partitions", "is_dry_run"}

Exit status: 0 all of it is gone, 1 the database or the store failed (what is gone stays
gone: run it again), 2 bad command line or configuration, 130 interrupted.

Examples:
  tracelake retention --older-than 30d --dry-run
  tracelake retention --older-than 30d
  tracelake retention --process 9d3b9a8e-6c1f-4c5b-8f3e-0a1b2c3d4e5f
`;

const ageMinMs = 3_600_000;
/** One that is lost must not stop the others from being deleted. */
const knownObjects = 10;
/** A process may have millions of blocks, which are counted in one statement. */
const statementTimeoutMs = 600_000;

export const retentionCommand: Command = {
  name: 'retention',
  summary: 'delete processes that are older than they should be',
  help,
  options: {
    'older-than': { type: 'string' },
    process: { type: 'string' },
    limit: { type: 'string' },
    'dry-run': { type: 'boolean' },
    concurrency: { type: 'string' },
    json: { type: 'boolean' },
  },
  async run(args, context) {
    args.exactly();
    const wanted = readWanted(args);
    try {
      await using db = openDatabase(readUrl('TRACELAKE_DATABASE_URL', context), {
        poolSize: 2,
        statementTimeoutMs,
        applicationName: 'tracelake retention',
      });
      await using store = await openStore(context);
      await checkIsStoreOf(db, store, context.signal);
      await deleteWanted(wanted, new Retention({ db, store, ...wanted, context }), { db, context });
      return exitStatus.ok;
    } catch (cause) {
      context.signal.throwIfAborted();
      throw storageFailure(cause, 'what is gone stays gone');
    }
  },
};

interface Wanted {
  readonly ageMs: number;
  readonly processId: ProcessId | undefined;
  readonly limit: number;
  readonly concurrency: number;
  readonly isDryRun: boolean;
  readonly isJson: boolean;
}

function readWanted(args: CommandArguments): Wanted {
  const processText = args.text('process');
  const processId = processText === undefined ? undefined : parseProcessId(processText);
  if (processText !== undefined && processId === undefined) {
    throw usageError(`--process must be a process id, not "${processText}"`);
  }
  const ageText = args.text('older-than');
  if (ageText === undefined && processId === undefined) {
    throw usageError('--older-than or --process must say what is to be deleted');
  }
  const ageMs = ageText === undefined ? 0 : readAgeArgument('--older-than', ageText);
  if (processId === undefined && ageMs < ageMinMs) {
    throw usageError(`--older-than must be 1h at least, not "${ageText}"`);
  }
  return {
    ageMs,
    processId,
    limit: args.integer('limit', { min: 1, max: 1_000_000_000 }) ?? Number.POSITIVE_INFINITY,
    concurrency: args.integer('concurrency', { min: 1, max: 256 }) ?? 16,
    isDryRun: args.flag('dry-run'),
    isJson: args.flag('json'),
  };
}

function readUrl(name: string, { env }: CommandContext): string {
  const url = env[name];
  if (url === undefined || url === '') throw usageError(`${name} must be set`);
  return url;
}

async function openStore(context: CommandContext) {
  const store = await openObjectStore(readUrl('TRACELAKE_OBJECT_STORE_URL', context), {
    endpoint: context.env.TRACELAKE_S3_ENDPOINT_URL || undefined,
  });
  await store.checkReady(context.signal);
  return store;
}

/** With another store the rows would go and the objects stay, and nobody would ever find them. */
async function checkIsStoreOf(
  db: Database,
  store: ObjectStore,
  signal: AbortSignal,
): Promise<void> {
  const keys = await listNewestBlockKeys(db, knownObjects, signal);
  for (const key of keys) if (await isThere(store, key, signal)) return;
  if (keys.length === 0) return;
  throw new CliError(
    'cli.refused',
    `${store.url} has none of the ${keys.length} blocks that came last, so it is not the store of this ` +
      'lake: nothing is deleted. TRACELAKE_OBJECT_STORE_URL must be that of the services',
  );
}

async function isThere(store: ObjectStore, key: string, signal: AbortSignal): Promise<boolean> {
  try {
    await store.getRange(key, { offset: 0, length: 1 }, signal);
    return true;
  } catch (error) {
    if (error instanceof StorageError && error.code === 'storage.object-missing') return false;
    throw error;
  }
}

async function deleteWanted(
  { ageMs, processId, limit, isDryRun }: Wanted,
  retention: Retention,
  { db, context: { signal } }: { readonly db: Database; readonly context: CommandContext },
): Promise<void> {
  const beforeUs = await findMomentBack(db, ageMs, signal);
  const found = processId === undefined ? listQuietProcesses(db, beforeUs, signal) : [processId];
  try {
    for await (const id of found) {
      await retention.remove(id, beforeUs);
      if (retention.processes >= limit) break;
    }
    if (processId === undefined && !isDryRun) await retention.removeUnowned();
  } finally {
    retention.report();
  }
}
