import { stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  type Database,
  findNamed,
  listNamedObjects,
  type NamedObject,
  type ObjectStore,
  openDatabase,
  openObjectStore,
} from '@tracelake/storage';
import { CliError, exitStatus, usageError } from '../cli-error.ts';
import type { Command, CommandArguments, CommandContext } from '../command.ts';
import { Progress } from '../output/progress.ts';
import { storageFailure } from '../storage-failure.ts';
import { type CopyRequest, copyObjects } from '../store-copy/copy-objects.ts';
import { CopyTally } from '../store-copy/copy-tally.ts';

const help = `Usage: tracelake copy-store FROM_URL TO_URL [--verify] [--concurrency N]

Copies the objects of a lake (blobs/ and views/) from one object store to another:
file:///directory or s3://bucket/prefix, each way. Nothing is overwritten or deleted. With
TRACELAKE_DATABASE_URL set, what Postgres names is copied too where the listing did not
have it, and what it names and neither store has is reported. Interrupted, run it again:
only what is new is copied.

  --verify           reads every object back from both stores and compares SHA-256; without
                     it sizes are compared
  --concurrency N    objects on their way at once (default 16); small ones take up to 8 MiB
                     of memory each, larger ones a file
  --temp-dir DIR     where objects over 8 MiB are between two S3 stores (default: the system's)
  --from-endpoint URL, --to-endpoint URL
                     of an S3 store that is not AWS's (TRACELAKE_S3_ENDPOINT_URL)
  --json             the summary for programs: {"copied", "copied_bytes", "present",
                     "different", "failed", "missing", "is_checked_with_database"}

To move a lake: copy while it runs; stop ingest and the materializer, or point them at the
new store; copy again, which is short; start everything with the new
TRACELAKE_OBJECT_STORE_URL. Objects written to the old store in between are found by
running it once more. The old store can go when a last run copies nothing and misses
nothing.

Exit status: 0 the target has everything; 1 something is missing, different or failed, or a
store is away; 2 bad command line, 130 interrupted.

Examples:
  tracelake copy-store file:///var/lib/tracelake/objects s3://lake/prod
  tracelake copy-store s3://lake/prod file:///mnt/lake --verify
`;

const prefixes = ['blobs/', 'views/'] as const;
const shownMax = 20;

export const copyStoreCommand: Command = {
  name: 'copy-store',
  summary: 'copy all objects of a lake to another store',
  help,
  options: {
    verify: { type: 'boolean' },
    concurrency: { type: 'string' },
    'temp-dir': { type: 'string' },
    'from-endpoint': { type: 'string' },
    'to-endpoint': { type: 'string' },
    json: { type: 'boolean' },
  },
  async run(args, context) {
    try {
      return await copyStore(args, context);
    } catch (cause) {
      context.signal.throwIfAborted();
      throw storageFailure(cause, 'what is copied stays');
    }
  },
};

async function copyStore(args: CommandArguments, context: CommandContext): Promise<number> {
  const [fromUrl, toUrl] = args.exactly('FROM_URL', 'TO_URL');
  const concurrency = args.integer('concurrency', { min: 1, max: 256 }) ?? 16;
  await using from = await openStore(fromUrl, args.text('from-endpoint'), context);
  await using to = await openStore(toUrl, args.text('to-endpoint'), context);
  if (from.url === to.url) throw usageError('FROM_URL and TO_URL are the same store');
  await checkSource(fromUrl);
  await to.checkReady(context.signal);
  const databaseUrl = context.env.TRACELAKE_DATABASE_URL;
  await using db = databaseUrl ? openDatabase(databaseUrl, { poolSize: 2 }) : undefined;
  const progress = new Progress({ stream: context.stderr });
  const tally = new CopyTally((bytes) => {
    progress.facts = `, ${tally.describe()}`;
    progress.add(bytes);
  });
  const request: CopyRequest = {
    from,
    to,
    concurrency,
    tally,
    tempDir: path.resolve(context.cwd, args.text('temp-dir') ?? tmpdir()),
    verifies: args.flag('verify'),
    isWanted: async () => false,
    countsPresent: true,
    signal: context.signal,
  };
  try {
    await copyObjects(listSource(from, context.signal), request);
    if (db !== undefined) await copyNamed(db, request);
  } finally {
    progress.end();
    report(tally, db !== undefined, args, context);
  }
  return tally.isWhole ? exitStatus.ok : exitStatus.failed;
}

async function openStore(url: string, endpoint: string | undefined, { env }: CommandContext) {
  return await openObjectStore(url, {
    endpoint: endpoint ?? (env.TRACELAKE_S3_ENDPOINT_URL || undefined),
  });
}

/** A directory that is not there would look like an empty store. */
async function checkSource(url: string): Promise<void> {
  if (!url.startsWith('file:')) return;
  const directory = fileURLToPath(url);
  const stats = await stat(directory).catch(() => undefined);
  if (stats?.isDirectory() === true) return;
  throw new CliError('cli.file', `there is no directory ${directory} to copy from`);
}

async function* listSource(from: ObjectStore, signal: AbortSignal): AsyncGenerator<NamedObject> {
  for (const prefix of prefixes) yield* from.list(prefix, signal);
}

/**
 * What a row names was put before the row: where the listing did not have it, it came meanwhile and is copied now, or
 * its row is gone by now, or it is lost.
 */
async function copyNamed(db: Database, request: CopyRequest): Promise<void> {
  const { signal } = request;
  const isWanted = async (key: string) => (await findNamed(db, [key], signal)).has(key);
  await copyObjects(listNamedObjects(db, signal), { ...request, isWanted, countsPresent: false });
}

function report(
  tally: CopyTally,
  isChecked: boolean,
  args: CommandArguments,
  { stdout, stderr }: CommandContext,
): void {
  const problems = [
    ...tally.different.map(({ key, reason }) => `different: ${key} (${reason})`),
    ...tally.failed.map(({ key, reason }) => `failed: ${key} (${reason})`),
    ...tally.missing.map((key) => `missing: ${key}`),
  ];
  for (const line of problems.slice(0, shownMax)) stderr.write(`${line}\n`);
  const unshown = tally.differentCount + tally.failedCount + tally.missingCount - shownMax;
  if (unshown > 0) {
    stderr.write(`and ${unshown} more; --json names up to 1000 of each kind\n`);
  }
  if (!isChecked) {
    stderr.write('not compared with Postgres: TRACELAKE_DATABASE_URL is not set\n');
  }
  if (!args.flag('json')) {
    stdout.write(`${tally.describe()}\n`);
    return;
  }
  const summary = {
    copied: tally.copied,
    copied_bytes: tally.copiedBytes,
    present: tally.present,
    different: tally.different,
    failed: tally.failed,
    missing: tally.missing,
    is_checked_with_database: isChecked,
  };
  stdout.write(`${JSON.stringify(summary, undefined, 2)}\n`);
}
