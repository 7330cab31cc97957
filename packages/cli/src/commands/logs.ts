import { type ProcessId, parseProcessId, parseRfc3339 } from '@tracelake/domain';
import { CliError, exitStatus, usageError } from '../cli-error.ts';
import type { CsvRow } from '../client/csv-rows.ts';
import { callQuery, type Query, readHeader, readRows, receiptOf } from '../client/query-call.ts';
import { type Connection, readConnection } from '../client/service-endpoints.ts';
import {
  type Command,
  type CommandArguments,
  type CommandContext,
  connectionHelp,
  connectionOptions,
} from '../command.ts';
import { writeToStream } from '../output/byte-sink.ts';
import { printable } from '../output/terminal-text.ts';
import { readRangeArguments } from '../output/time-argument.ts';
import { pause } from '../stack/backoff.ts';

const help = `Usage: tracelake logs PROCESS_ID [options]

Prints the log of one process, the oldest entry first: time, level, target and message.

  -f, --follow       then go on with what arrives, until Ctrl-C
  --level LEVEL      only this severe or more: fatal, error, warn, info, debug, trace
  --grep TEXT        only messages that hold the text, in upper or lower case
  --begin TIME       only entries of the range; RFC 3339, or a time ago: 30s, 15m, 1h, 2d
  --end TIME
${connectionHelp}

Examples:
  tracelake logs 9d3b9a8e-6c1f-4c5b-8f3e-0a1b2c3d4e5f --level warn
  tracelake logs 9d3b9a8e-6c1f-4c5b-8f3e-0a1b2c3d4e5f --begin 5m --follow
  tracelake logs 9d3b9a8e-6c1f-4c5b-8f3e-0a1b2c3d4e5f --grep timeout | less

Exit status: 0 printed, 1 failed, 2 bad command line, 130 interrupted (how --follow ends).
`;

/** A level's place is its number in the lake, less one. */
const levels = ['fatal', 'error', 'warn', 'info', 'debug', 'trace'] as const;
const pollMs = 1000;
/** How many failures in a row --follow bears, with a pause after each. */
const failuresMax = 30;

export const logsCommand: Command = {
  name: 'logs',
  summary: "print a process's log, and follow it",
  help,
  options: {
    ...connectionOptions,
    follow: { type: 'boolean', short: 'f' },
    level: { type: 'string' },
    grep: { type: 'string' },
    begin: { type: 'string' },
    end: { type: 'string' },
  },
  async run(args, context) {
    const request = readRequest(args);
    const log = new ProcessLog(request, readConnection(args, context.env), context);
    await log.printNew();
    if (!log.hasBlocks) {
      context.stderr.write(`process ${request.processId} has sent no log\n`);
    }
    if (args.flag('follow')) await follow(log, context);
    return exitStatus.ok;
  },
};

interface LogRequest {
  readonly processId: ProcessId;
  readonly levelMax: number;
  readonly text: string;
  readonly begin: string | undefined;
  readonly end: string | undefined;
}

function readRequest(args: CommandArguments): LogRequest {
  const [text] = args.exactly('PROCESS_ID');
  const processId = parseProcessId(text);
  if (processId === undefined) {
    throw usageError(`"${text}" is not a process id; "tracelake processes" lists them`);
  }
  if (args.flag('follow') && args.text('end') !== undefined) {
    throw usageError('--follow has no --end');
  }
  const level = args.oneOf('level', levels);
  return {
    processId,
    levelMax: level === undefined ? levels.length : levels.indexOf(level) + 1,
    text: args.text('grep') ?? '',
    ...readRangeArguments(args),
  };
}

async function follow(log: ProcessLog, context: CommandContext): Promise<void> {
  let failures = 0;
  for (;;) {
    await pause(pollMs, context.signal);
    context.signal.throwIfAborted();
    try {
      await log.printNew();
      failures = 0;
    } catch (error) {
      context.signal.throwIfAborted();
      if (!(error instanceof CliError) || !error.retryable) throw error;
      failures += 1;
      if (failures > failuresMax) throw error;
      if (failures === 1) context.stderr.write(`${error.message}; trying again\n`);
    }
  }
}

/** A block may become visible after one that says it arrived later: commits and clocks differ. */
const arrivalSkewNs = 300_000_000_000n;

/**
 * What of a log has been printed: whole blocks, by their ids. A block may arrive late, with times before
 * those that are on the screen; it is printed all the same, once.
 */
class ProcessLog {
  readonly #request: LogRequest;
  readonly #connection: Connection;
  readonly #context: CommandContext;
  /** When each printed block arrived; those that cannot come again are dropped. */
  readonly #printed = new Map<string, bigint>();
  #newestNs: bigint | undefined;
  #isFirst = true;
  hasBlocks = false;

  constructor(request: LogRequest, connection: Connection, context: CommandContext) {
    this.#request = request;
    this.#connection = connection;
    this.#context = context;
  }

  async printNew(): Promise<void> {
    const response = await callQuery(this.#connection, this.#query(), this.#context);
    const printed = new Map<string, bigint>();
    try {
      for await (const [blockId, insertTime, ...entry] of bodyRows(
        response,
        this.#context.signal,
      )) {
        if (blockId === null || blockId === undefined || this.#printed.has(blockId)) continue;
        printed.set(blockId, parseRfc3339(insertTime ?? '') ?? 0n);
        await writeToStream(this.#context.stdout, textOf(entry), this.#context.signal);
      }
    } catch (error) {
      if (printed.size === 0 || !(error instanceof CliError)) throw error;
      // Trying again would print the first part a second time.
      throw new CliError(error.code, error.message, { cause: error, retryable: false });
    }
    this.#note(printed);
    const { warning } = receiptOf(response) ?? {};
    if (this.#isFirst && warning !== undefined) this.#context.stderr.write(`warning: ${warning}\n`);
    this.#isFirst = false;
    this.hasBlocks ||= response.headers.get('tracelake-receipt-blocks-known') !== '0';
  }

  #query(): Query {
    const { processId, levelMax, text, begin, end } = this.#request;
    const sinceNs = this.#newestNs === undefined ? 0n : this.#newestNs - arrivalSkewNs;
    return {
      // Entries of one time stay as they stand in the view, in the order of their events.
      sql: `
        SELECT block_id, insert_time, time, level, target, msg
        FROM (
          SELECT *, row_number() OVER () AS place
          FROM view_instance('log_entries', '${processId}')
          WHERE level <= $1 AND contains(lower(msg), lower($2)) AND insert_time >= make_timestamp_ns($3)
        )
        ORDER BY time, stream_id, place`,
      params: [levelMax, text, sinceNs],
      begin,
      end,
      format: 'csv',
    };
  }

  #note(printed: ReadonlyMap<string, bigint>): void {
    for (const [blockId, arrivedNs] of printed) {
      this.#printed.set(blockId, arrivedNs);
      if (this.#newestNs === undefined || arrivedNs > this.#newestNs) this.#newestNs = arrivedNs;
    }
    const oldestNs = (this.#newestNs ?? 0n) - arrivalSkewNs;
    for (const [blockId, arrivedNs] of this.#printed) {
      if (arrivedNs < oldestNs) this.#printed.delete(blockId);
    }
  }
}

/** The rows after the header. */
async function* bodyRows(response: Response, signal: AbortSignal): AsyncGenerator<CsvRow> {
  const rows = readRows(response, signal)[Symbol.asyncIterator]();
  await readHeader(rows);
  for (let row = await rows.next(); row.done !== true; row = await rows.next()) yield row.value;
}

/** `2026-11-21 04:00:00.123456 WARN  target: message`; further lines of a message are indented. */
function textOf([time, level, target, message]: CsvRow): string {
  const name = levels[Number(level) - 1]?.toUpperCase() ?? `LEVEL ${level}`;
  const when = (time ?? '').slice(0, 26).replace('T', ' ');
  const lines = (message ?? '').split(/\r?\n/).map(printable);
  return `${when} ${name.padEnd(5)} ${printable(target ?? '')}: ${lines.join('\n    ')}\n`;
}
