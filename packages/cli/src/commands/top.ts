import { parseProcessId } from '@tracelake/domain';
import { exitStatus, usageError } from '../cli-error.ts';
import { callQuery, readHeader, readRows, reportReceipt } from '../client/query-call.ts';
import { readConnection } from '../client/service-endpoints.ts';
import {
  type Command,
  type CommandArguments,
  type CommandContext,
  connectionHelp,
  connectionOptions,
} from '../command.ts';
import { writeToStream } from '../output/byte-sink.ts';
import { formatSpanTime } from '../output/quantity.ts';
import { RowTable } from '../output/row-table.ts';
import { readRangeArguments } from '../output/time-argument.ts';

const help = `Usage: tracelake top PROCESS_ID [options]

Shows where the time of a process went: its thread spans by name, with how often they ran,
their time in all, their time without the spans inside them (self), and how long one took.
The id of a stream shows one thread alone.

  --sort COLUMN      self (default), total, count, p50, p95, p99 or max
  --limit N          at most so many names (default 20)
  --begin TIME       only spans that overlap the range; RFC 3339, or a time ago: 30s, 15m,
  --end TIME         1h, 2d. Default: everything
${connectionHelp}

Examples:
  tracelake top 9d3b9a8e-6c1f-4c5b-8f3e-0a1b2c3d4e5f
  tracelake top 9d3b9a8e-6c1f-4c5b-8f3e-0a1b2c3d4e5f --sort p99 --limit 5
`;

const sortColumns = {
  self: 'self_ns',
  total: 'total_ns',
  count: 'count',
  p50: 'p50_ns',
  p95: 'p95_ns',
  p99: 'p99_ns',
  max: 'max_ns',
} as const;
const sortNames = Object.keys(sortColumns) as (keyof typeof sortColumns)[];

export const topCommand: Command = {
  name: 'top',
  summary: 'show where the time of a process went',
  help,
  options: {
    ...connectionOptions,
    sort: { type: 'string' },
    limit: { type: 'string' },
    begin: { type: 'string' },
    end: { type: 'string' },
  },
  run: runTop,
};

async function runTop(args: CommandArguments, context: CommandContext): Promise<number> {
  const [text] = args.exactly('PROCESS_ID');
  const id = parseProcessId(text);
  if (id === undefined) {
    throw usageError(`"${text}" is not a process id; "tracelake processes" lists them`);
  }
  const sort = sortColumns[args.oneOf('sort', sortNames) ?? 'self'];
  const limit = args.integer('limit', { min: 1, max: 1_000_000 }) ?? 20;
  const sql = `
    SELECT name, count, total_ns, self_ns, p50_ns, p95_ns, p99_ns, max_ns, target
    FROM span_stats('${id}') ORDER BY ${sort} DESC, name, target LIMIT ${limit}`;
  const query = { sql, ...readRangeArguments(args), format: 'csv' } as const;
  const response = await callQuery(readConnection(args, context.env), query, context);
  const rowCount = await writeSpans(response, context);
  if (rowCount === 0) context.stderr.write('no spans of threads are in the lake for it\n');
  reportReceipt(response, context);
  return exitStatus.ok;
}

async function writeSpans(response: Response, context: CommandContext): Promise<number> {
  const rows = readRows(response, context.signal)[Symbol.asyncIterator]();
  await readHeader(rows);
  const table = new RowTable({
    header: ['NAME', 'COUNT', 'TOTAL', 'SELF', 'P50', 'P95', 'P99', 'MAX', 'TARGET'],
    rightAligned: [1, 2, 3, 4, 5, 6, 7],
    widthMax: context.stdout.isTTY === true ? context.stdout.columns : undefined,
    write: (text) => writeToStream(context.stdout, text, context.signal),
  });
  for (let row = await rows.next(); row.done !== true; row = await rows.next()) {
    const [name = null, count = null, ...rest] = row.value;
    const times = rest.slice(0, -1).map((ns) => formatSpanTime(Number(ns ?? 0)));
    await table.add([name, count, ...times, rest.at(-1) ?? null]);
  }
  if (table.rowCount > 0) await table.flush();
  return table.rowCount;
}
