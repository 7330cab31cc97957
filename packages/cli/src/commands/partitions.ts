import { exitStatus } from '../cli-error.ts';
import { callForJson } from '../client/http-call.ts';
import { readConnection } from '../client/service-endpoints.ts';
import { type Command, connectionHelp, connectionOptions } from '../command.ts';
import { formatTable } from '../output/table.ts';

const help = `Usage: tracelake partitions VIEW INSTANCE [--json]

Lists the Parquet partitions of one instance of a view, as they are (nothing is built).
The instance of thread_spans is a stream id; of log_entries, measures and async_events
a process id.

  --json             the service's answer as it is
${connectionHelp}

Examples:
  tracelake partitions log_entries 9d3b9a8e-6c1f-4c5b-8f3e-0a1b2c3d4e5f
  tracelake partitions thread_spans 1f0c5b7e-2a3b-4c5d-8e9f-0a1b2c3d4e5f --json
`;

export const partitionsCommand: Command = {
  name: 'partitions',
  summary: 'list the partitions of a view instance',
  help,
  options: { ...connectionOptions, json: { type: 'boolean' } },
  async run(args, context) {
    const [view, instance] = args.exactly('VIEW', 'INSTANCE');
    const answer = await callForJson(readConnection(args, context.env), {
      service: 'materializer',
      path: `/v1/partitions/${encodeURIComponent(view)}/${encodeURIComponent(instance)}`,
      signal: context.signal,
    });
    const rows = listOf(answer);
    if (args.flag('json') || rows === undefined) {
      context.stdout.write(`${JSON.stringify(answer, undefined, 2)}\n`);
    } else if (rows.length === 0) {
      context.stderr.write('no partitions yet; "tracelake materialize" builds them\n');
    } else {
      context.stdout.write(tableOf(rows));
    }
    return exitStatus.ok;
  },
};

type Row = Readonly<Record<string, unknown>>;

function listOf(answer: unknown): readonly Row[] | undefined {
  if (Array.isArray(answer)) return answer as Row[];
  const { partitions } = (answer ?? {}) as { partitions?: unknown };
  return Array.isArray(partitions) ? (partitions as Row[]) : undefined;
}

/** The service's own column names, so that `--json` and the table speak alike; long hashes are cut. */
function tableOf(rows: readonly Row[]): string {
  const names = [...new Set(rows.flatMap((row) => Object.keys(row)))].filter((name) =>
    rows.some((row) => !Array.isArray(row[name]) && row[name] !== null),
  );
  const cell = (value: unknown) => {
    const text = value === null || value === undefined ? '-' : String(value);
    return /^[0-9a-f]{40,}$/.test(text) ? text.slice(0, 12) : text;
  };
  return formatTable(
    names,
    rows.map((row) => names.map((name) => cell(row[name]))),
  );
}
