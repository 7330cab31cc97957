import { exitStatus } from '../cli-error.ts';
import { listProcesses } from '../client/process-list.ts';
import { readConnection } from '../client/service-endpoints.ts';
import { type Command, connectionHelp, connectionOptions } from '../command.ts';
import { formatTable } from '../output/table.ts';

const help = `Usage: tracelake processes [--search TEXT] [--limit N] [--json]

Lists the processes that have sent telemetry, the newest first.

  --search TEXT      only those whose program, user, computer or id holds the text
  --limit N          at most so many (default 50)
  --json             as a JSON array with every column, for scripts
${connectionHelp}

Examples:
  tracelake processes --search game --limit 5
  tracelake processes --json | jq -r '.[0].process_id'
`;

export const processesCommand: Command = {
  name: 'processes',
  summary: 'list what has sent telemetry',
  help,
  options: {
    ...connectionOptions,
    search: { type: 'string' },
    limit: { type: 'string' },
    json: { type: 'boolean' },
  },
  async run(args, context) {
    args.exactly();
    const search = args.text('search');
    const processes = await listProcesses(readConnection(args, context.env), {
      limit: args.integer('limit', { min: 1, max: 10_000 }) ?? 50,
      ...(search === undefined ? {} : { search }),
      signal: context.signal,
    });
    if (args.flag('json')) {
      context.stdout.write(`${JSON.stringify(processes, undefined, 2)}\n`);
      return exitStatus.ok;
    }
    if (processes.length === 0) {
      context.stderr.write('no process has sent telemetry that matches\n');
      return exitStatus.ok;
    }
    const header = ['PROCESS ID', 'STARTED', 'LAST BLOCK', 'BLOCKS', 'COMPUTER', 'PROGRAM'];
    const rows = processes.map((process) => [
      process.process_id,
      shortTime(process.start_time),
      shortTime(process.last_block_end_time),
      String(process.block_count ?? 0),
      process.computer ?? '',
      process.exe ?? '',
    ]);
    context.stdout.write(formatTable(header, rows));
    return exitStatus.ok;
  },
};

/** `2026-11-21T04:00:00.123456789Z` -> `2026-11-21 04:00:00`. */
function shortTime(time: string | null | undefined): string {
  return time?.slice(0, 19).replace('T', ' ') ?? '-';
}
