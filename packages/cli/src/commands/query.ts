import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { CliError, exitStatus, usageError } from '../cli-error.ts';
import {
  type AnswerFormat,
  answerFormats,
  callQuery,
  type QueryParameter,
  readHeader,
  readRows,
  reportReceipt,
} from '../client/query-call.ts';
import { bodyOf } from '../client/response-body.ts';
import { readConnection } from '../client/service-endpoints.ts';
import {
  type Command,
  type CommandArguments,
  type CommandContext,
  connectionHelp,
  connectionOptions,
} from '../command.ts';
import { openSink, writeToStream } from '../output/byte-sink.ts';
import { Progress } from '../output/progress.ts';
import { formatDuration } from '../output/quantity.ts';
import { RowTable } from '../output/row-table.ts';
import { readRangeArguments } from '../output/time-argument.ts';

const help = `Usage: tracelake query [SQL] [options]

Asks the lake in SQL (DuckDB's). The statement is the argument, a file or stdin. Tables are
processes, streams, blocks, log_entries, measures and view_instance('VIEW', 'INSTANCE');
list_view_sets() has them all with their columns. Partitions that are missing or stale are
built first; EXPLAIN before the statement shows which, and builds nothing.

  --file FILE        the statement is in this file; "-" is stdin
  --param VALUE      the value of $1, again for $2 and so on: a number, true, false, null,
                     else a text; '"12"' is the text 12
  --begin TIME       only what overlaps the range; RFC 3339, or a time ago: 30s, 15m, 1h, 2d.
  --end TIME         Default: everything
  --format FORMAT    table (default, cut to the terminal's width), json, ndjson, csv or arrow
  -o, --output FILE  where to, not for table; a failed answer leaves no file (default: stdout)
  --quiet            no receipt on stderr
${connectionHelp}

Examples:
  tracelake query "SELECT process_id, exe, start_time FROM processes ORDER BY start_time DESC"
  tracelake query --begin 1h "SELECT level, count(*) FROM log_entries GROUP BY level"
  tracelake query --file slow.sql --param 9d3b9a8e-6c1f-4c5b-8f3e-0a1b2c3d4e5f --format csv
  echo "EXPLAIN SELECT count(*) FROM measures" | tracelake query
  tracelake query "SELECT * FROM measures" --format arrow -o measures.arrows

Exit status: 0 the answer is whole, 1 failed or refused, 2 bad command line, 130 interrupted.
`;

const formats = ['table', ...answerFormats] as const;

export const queryCommand: Command = {
  name: 'query',
  summary: 'ask the lake in SQL',
  help,
  options: {
    ...connectionOptions,
    file: { type: 'string' },
    param: { type: 'string', multiple: true },
    begin: { type: 'string' },
    end: { type: 'string' },
    format: { type: 'string' },
    output: { type: 'string', short: 'o' },
    quiet: { type: 'boolean' },
  },
  run: runQuery,
};

async function runQuery(args: CommandArguments, context: CommandContext): Promise<number> {
  const format = args.oneOf('format', formats) ?? 'table';
  const output = args.text('output');
  if (format === 'table' && output !== undefined) {
    throw usageError(
      '--output needs a --format that other programs read: json, ndjson, csv, arrow',
    );
  }
  if (format === 'arrow' && output === undefined && context.stdout.isTTY === true) {
    throw usageError('Arrow is no text: write it to a file with --output, or into a pipe');
  }
  const request = readRangeArguments(args);
  const params = args.texts('param').map(readParameter);
  const connection = readConnection(args, context.env);
  const sql = await readStatement(args, context);
  const startMs = Date.now();
  const answer = format === 'table' ? 'csv' : format;
  const response = await callQuery(
    connection,
    { sql, params, ...request, format: answer },
    context,
  );
  const done =
    format === 'table'
      ? await writeTable(response, context)
      : await writeBytes(response, format, output ?? '-', context);
  if (args.flag('quiet')) return exitStatus.ok;
  context.stderr.write(`${done} in ${formatDuration(Date.now() - startMs)}\n`);
  reportReceipt(response, context);
  return exitStatus.ok;
}

async function readStatement(args: CommandArguments, context: CommandContext): Promise<string> {
  const file = args.text('file');
  const [argument, ...others] = args.positionals;
  if (others.length > 0) throw usageError('the statement is one argument: put it in quotes');
  if (argument !== undefined && file !== undefined) {
    throw usageError('give the statement as an argument or with --file, not both');
  }
  const sql = argument !== undefined && argument !== '-' ? argument : await readText(file, context);
  if (sql.trim() === '')
    throw usageError('there is no SQL: give it as an argument, --file or stdin');
  return sql;
}

async function readText(file: string | undefined, context: CommandContext): Promise<string> {
  if (file !== undefined && file !== '-') {
    try {
      return await readFile(path.resolve(context.cwd, file), 'utf8');
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new CliError('cli.file', `cannot read ${file}: ${reason}`, { cause });
    }
  }
  if (context.stdin.isTTY === true && file === undefined) return '';
  const chunks: Buffer[] = [];
  for await (const chunk of context.stdin) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks).toString('utf8');
}

/** A JSON scalar as what it is, and anything else as text. */
function readParameter(text: string): QueryParameter {
  if (/^-?(?:0|[1-9]\d*)$/.test(text)) return BigInt(text);
  try {
    const value: unknown = JSON.parse(text);
    if (value === null || typeof value === 'number' || typeof value === 'boolean') return value;
    return typeof value === 'string' ? value : text;
  } catch {
    return text;
  }
}

async function writeTable(response: Response, context: CommandContext): Promise<string> {
  const rows = readRows(response, context.signal)[Symbol.asyncIterator]();
  const table = new RowTable({
    header: await readHeader(rows),
    widthMax: context.stdout.isTTY === true ? context.stdout.columns : undefined,
    write: (text) => writeToStream(context.stdout, text, context.signal),
  });
  for (let row = await rows.next(); row.done !== true; row = await rows.next()) {
    await table.add(row.value);
  }
  await table.flush();
  return `${table.rowCount} row${table.rowCount === 1 ? '' : 's'}`;
}

async function writeBytes(
  response: Response,
  format: AnswerFormat,
  output: string,
  context: CommandContext,
): Promise<string> {
  await using sink = await openSink(output, context);
  const progress = new Progress({ stream: context.stderr });
  try {
    for await (const bytes of bodyOf(response, 'answer', context.signal)) {
      await sink.write(bytes);
      progress.add(bytes.byteLength);
    }
    context.signal.throwIfAborted();
    await sink.commit();
  } finally {
    progress.end();
  }
  return `wrote ${progress.bytes} bytes of ${format}${output === '-' ? '' : ` to ${output}`}`;
}
