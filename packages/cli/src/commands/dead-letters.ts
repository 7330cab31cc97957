import type { DeadLetter, DeadLetters } from '@tracelake/bus';
import { errorMessage } from '@tracelake/domain';
import { CliError, exitStatus, usageError } from '../cli-error.ts';
import {
  asCliError,
  describeContent,
  describeDeadLetter,
  openOwnDeadLetters,
} from '../client/dead-letter-access.ts';
import type { Command, CommandArguments, CommandContext } from '../command.ts';
import { formatTable } from '../output/table.ts';

const help = `Usage: tracelake dead-letters list|show|replay|discard [ID...|--all] [--stream S]

Works on messages that a service gave up on: read but failed too often, or unreadable.
They wait 30 days in the stream DEAD of the NATS server in TRACELAKE_NATS_URL. Nothing
else than the message is missing: what was stored is stored, and partitions are built
when somebody asks.

  list               sequence, time, where from, deliveries and reason, the oldest first
  show ID            all that is known of one, with the message inside
  replay ID...       publishes the message again where it came from, and removes the dead
                     letter once that is acknowledged; it can be run again at any time
  discard ID...      removes it for good

  --all              replay or discard: all that are there now
  --stream S         list, --all: only those that came from this stream (TELEMETRY,
                     MATERIALIZE)
  --limit N          list: so many at most (default 100)
  --json             for programs: list gives an array, replay and discard
                     {"done", "gone", "failed"}

Exit status: 0 done; 1 something could not be done: NATS is away, a letter to show or
replay is not there, a stream refused it; 2 bad command line.

Examples:
  tracelake dead-letters list
  tracelake dead-letters show 17
  tracelake dead-letters replay --all --stream TELEMETRY
  tracelake dead-letters discard 17 18
`;

const actions = ['list', 'show', 'replay', 'discard'] as const;
type Action = (typeof actions)[number];

export const deadLettersCommand: Command = {
  name: 'dead-letters',
  summary: 'list, replay or discard messages that a service gave up on',
  help,
  options: {
    all: { type: 'boolean' },
    stream: { type: 'string' },
    limit: { type: 'string' },
    json: { type: 'boolean' },
  },
  async run(args, context) {
    const request = readRequest(args);
    await using letters = await openOwnDeadLetters(context);
    try {
      if (request.action === 'list') return await list(letters, args, context);
      if (request.action === 'show') return await show(letters, request.ids, args, context);
      return await settle(letters, request, args, context);
    } catch (cause) {
      context.signal.throwIfAborted();
      throw asCliError(cause);
    }
  },
};

interface Request {
  readonly action: Action;
  /** Undefined for all. */
  readonly ids: readonly number[] | undefined;
}

function readRequest(args: CommandArguments): Request {
  const [name, ...ids] = args.positionals;
  const action = actions.find((candidate) => candidate === name);
  if (action === undefined) {
    throw usageError(`expected one of ${actions.join(', ')}, got "${name ?? ''}"`);
  }
  const stream = args.text('stream');
  if (stream !== undefined && !/^[A-Za-z0-9_-]{1,128}$/.test(stream)) {
    throw usageError(`--stream must be a name such as TELEMETRY, not "${stream}"`);
  }
  const wantsAll = args.flag('all');
  if (action === 'list') {
    if (ids.length > 0 || wantsAll) throw usageError('list takes --stream and --limit only');
    return { action, ids: undefined };
  }
  if (wantsAll && action !== 'show') {
    if (ids.length > 0) throw usageError('give either sequences or --all');
    return { action, ids: undefined };
  }
  if (ids.length === 0 || wantsAll) {
    const orAll = action === 'show' ? '' : ', or --all';
    throw usageError(`${action} needs the sequence of a dead letter (see "list")${orAll}`);
  }
  if (stream !== undefined) throw usageError('--stream goes with list and --all');
  return { action, ids: ids.map(readSequence) };
}

function readSequence(text: string): number {
  const sequence = Number(text);
  if (/^\d{1,15}$/.test(text) && sequence > 0) return sequence;
  throw usageError(`"${text}" is not the sequence of a dead letter, which is a number from 1`);
}

async function list(
  letters: DeadLetters,
  args: CommandArguments,
  context: CommandContext,
): Promise<number> {
  const limit = args.integer('limit', { min: 1, max: 1_000_000 }) ?? 100;
  const found: ReturnType<typeof describeDeadLetter>[] = [];
  let isMore = false;
  for await (const letter of listed(letters, args, context)) {
    isMore = found.length === limit;
    if (isMore) break;
    found.push(describeDeadLetter(letter));
  }
  if (args.flag('json')) {
    context.stdout.write(`${JSON.stringify(found, undefined, 2)}\n`);
  } else if (found.length === 0) {
    context.stderr.write('there are no dead letters\n');
  } else {
    const header = ['SEQUENCE', 'DEAD SINCE', 'DELIVERIES', 'SUBJECT', 'REASON'];
    const rows = found.map((letter) => [
      String(letter.sequence),
      letter.dead_at.slice(0, 19).replace('T', ' '),
      String(letter.deliveries),
      letter.subject === '' ? `(unknown, of ${letter.stream})` : letter.subject,
      letter.reason,
    ]);
    context.stdout.write(formatTable(header, rows));
  }
  if (isMore) context.stderr.write(`there are more than ${limit}; --limit shows more\n`);
  return exitStatus.ok;
}

async function show(
  letters: DeadLetters,
  ids: readonly number[] = [],
  args: CommandArguments,
  context: CommandContext,
): Promise<number> {
  const shown = [];
  for (const id of ids) {
    const letter = await letters.find(id, context.signal);
    if (letter === undefined) {
      throw new CliError(
        'cli.not-found',
        `there is no dead letter ${id}; it may have been settled`,
      );
    }
    shown.push({ ...describeDeadLetter(letter), ...describeContent(letter) });
  }
  const answer = shown.length === 1 && !args.flag('json') ? shown[0] : shown;
  context.stdout.write(`${JSON.stringify(answer, bigintAsText, 2)}\n`);
  return exitStatus.ok;
}

interface Settled {
  readonly done: number[];
  readonly gone: number[];
  readonly failed: { readonly sequence: number; readonly reason: string }[];
}

async function settle(
  letters: DeadLetters,
  { action, ids }: Request,
  args: CommandArguments,
  context: CommandContext,
): Promise<number> {
  const settled: Settled = { done: [], gone: [], failed: [] };
  try {
    for await (const [sequence, letter] of chosen(letters, ids, args, context)) {
      if (letter === undefined) {
        settled.gone.push(sequence);
        continue;
      }
      try {
        if (action === 'replay') await letters.replay(letter, context.signal);
        else await letters.discard(sequence, context.signal);
        settled.done.push(sequence);
      } catch (error) {
        if (isForAll(error)) throw error;
        settled.failed.push({ sequence, reason: errorMessage(error) });
      }
    }
  } finally {
    report(action, settled, args, context);
  }
  const isMissing = action === 'replay' && settled.gone.length > 0;
  return settled.failed.length > 0 || isMissing ? exitStatus.failed : exitStatus.ok;
}

/** What the next letter would meet too: the server is away or busy, or the command was interrupted. */
function isForAll(error: unknown): boolean {
  return !(error instanceof Error && 'retryable' in error) || error.retryable === true;
}

async function* chosen(
  letters: DeadLetters,
  ids: readonly number[] | undefined,
  args: CommandArguments,
  context: CommandContext,
): AsyncGenerator<readonly [number, DeadLetter | undefined]> {
  if (ids !== undefined) {
    for (const id of ids) yield [id, await letters.find(id, context.signal)];
    return;
  }
  for await (const letter of listed(letters, args, context)) yield [letter.sequence, letter];
}

function listed(letters: DeadLetters, args: CommandArguments, context: CommandContext) {
  return letters.list({ stream: args.text('stream'), signal: context.signal });
}

function report(
  action: Action,
  settled: Settled,
  args: CommandArguments,
  context: CommandContext,
): void {
  const { done, gone, failed } = settled;
  if (args.flag('json')) context.stdout.write(`${JSON.stringify(settled, undefined, 2)}\n`);
  for (const id of gone) context.stderr.write(`${id} is not there; it may have been settled\n`);
  for (const { sequence, reason } of failed) {
    context.stderr.write(`${sequence} stays: ${reason}\n`);
  }
  if (args.flag('json')) return;
  const verb = action === 'replay' ? 'replayed' : 'discarded';
  context.stdout.write(`${verb} ${done.length} dead letter(s)\n`);
}

function bigintAsText(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? String(value) : value;
}
