/** What this machine itself meets at Postgres, NATS and the object store, where it is told their addresses. */
import { openDeadLetters } from '@tracelake/bus';
import { errorMessage } from '@tracelake/domain';
import {
  openDatabase,
  openObjectStore,
  readSchemaState,
  type SchemaState,
  StorageError,
} from '@tracelake/storage';
import type { CommandContext } from '../command.ts';
import type { Finding } from './finding.ts';

const timeoutMs = 5000;

interface BackendCheck {
  readonly check: string;
  readonly variable: string;
  /** Throws when it does not serve. */
  readonly look: (url: string, context: CommandContext, signal: AbortSignal) => Promise<Finding>;
  /** What does not work, before the reason, and what may mend it, after. */
  readonly problem: string;
  readonly advice: string;
}

/** Nothing about those whose variable is not set: services say what keeps them from being ready. */
export async function lookAtBackends(context: CommandContext): Promise<Finding[]> {
  const findings = await Promise.all(
    backendChecks.map(async ({ check, variable, look, problem, advice }) => {
      const url = context.env[variable];
      if (url === undefined || url === '') return undefined;
      const signal = AbortSignal.any([context.signal, AbortSignal.timeout(timeoutMs)]);
      try {
        return await look(url, context, signal);
      } catch (error) {
        context.signal.throwIfAborted();
        const where = `${variable} says where it is${advice}`;
        const text = `${problem} from here (${reasonOf(error)}); ${where}`;
        const finding: Finding = { verdict: 'wrong', check, text, runbook: 'service-not-ready' };
        return finding;
      }
    }),
  );
  return findings.filter((finding) => finding !== undefined);
}

const backendChecks: readonly BackendCheck[] = [
  {
    check: 'postgres',
    variable: 'TRACELAKE_DATABASE_URL',
    problem: 'Postgres does not answer',
    advice: '',
    look: lookAtPostgres,
  },
  {
    check: 'nats',
    variable: 'TRACELAKE_NATS_URL',
    problem: 'NATS does not answer with JetStream',
    advice: ', and nats-server wants -js',
    look: lookAtNats,
  },
  {
    check: 'object-store',
    variable: 'TRACELAKE_OBJECT_STORE_URL',
    problem: 'the object store cannot be written',
    advice: ': rights, room, and whether it honours create-only puts',
    look: lookAtStore,
  },
];

async function lookAtPostgres(
  url: string,
  _context: CommandContext,
  signal: AbortSignal,
): Promise<Finding> {
  await using db = openDatabase(url, { poolSize: 1, connectTimeoutMs: timeoutMs });
  const check = 'postgres';
  try {
    return judgeSchema(await readSchemaState(db, signal));
  } catch (error) {
    if (!(error instanceof StorageError) || error.code !== 'storage.schema-mismatch') throw error;
    return { verdict: 'wrong', check, text: error.message, runbook: 'rollback' };
  }
}

export function judgeSchema({ version, codeVersion, missing }: SchemaState): Finding {
  const check = 'postgres';
  if (missing > 0) {
    const text =
      `Postgres has schema version ${version}, and this release needs ${codeVersion}: ` +
      'run "tracelake migrate"';
    return { verdict: 'wrong', check, text, runbook: 'upgrade' };
  }
  const text = `Postgres answers, with schema version ${version}`;
  if (version === codeVersion) return { verdict: 'well', check, text };
  return {
    verdict: 'note',
    check,
    text: `${text}, which is of a newer release than this command; they fit together`,
    runbook: 'upgrade',
  };
}

async function lookAtNats(
  url: string,
  _context: CommandContext,
  signal: AbortSignal,
): Promise<Finding> {
  const letters = await openDeadLetters({ servers: url, name: 'tracelake doctor', signal });
  await using _open = letters;
  for await (const _letter of letters.list({ signal })) break;
  return { verdict: 'well', check: 'nats', text: 'NATS answers, with JetStream' };
}

/** Puts a probe twice and takes it away again. */
async function lookAtStore(
  url: string,
  { env }: CommandContext,
  signal: AbortSignal,
): Promise<Finding> {
  const endpoint = env.TRACELAKE_S3_ENDPOINT_URL || undefined;
  await using store = await openObjectStore(url, { endpoint });
  await store.checkReady(signal);
  const text = 'the object store can be written, and keeps what is there';
  return { verdict: 'well', check: 'object-store', text };
}

function reasonOf(error: unknown): string {
  const message = errorMessage(error);
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : undefined;
  const why = cause === undefined ? '' : errorMessage(cause);
  return message.includes(why) ? message : `${message}: ${why}`;
}
