import { errorMessage } from '@tracelake/domain';
import { LocalServerError } from '@tracelake/local-servers';
import { ConfigError } from '@tracelake/service-kit';
import { CliError, exitStatus } from '../cli-error.ts';
import type { Command, CommandArguments, CommandContext } from '../command.ts';
import { findOrSendSample, type OpenableProcess } from '../stack/sample.ts';
import { portVariables, type Stack, startStack } from '../stack/stack.ts';
import { readStackSettings, type StackSettings } from '../stack/stack-settings.ts';

const help = `Usage: tracelake up [options]          ("npm start -- [options]" does set-up first)

Runs the whole stack on this machine until Ctrl-C: Postgres, nats-server, ingest,
partition-materializer, trace-export and query. A service that crashes is started again.
Starting again on the same data directory finds the data.

  --data-dir DIR     everything it keeps (TRACELAKE_DATA_DIR; default .tracelake in the clone)
  --no-demo          leave an empty lake empty (TRACELAKE_DEMO=false); else it is given a sample
  --workers N        worker threads of the materializer, and CPU tokens for them unless
                     TRACELAKE_CPU_TOKENS says otherwise (default: all cores but one)
  --channel-depth N  blocks waiting between two of its stages (TRACELAKE_CHANNEL_DEPTH, 4)

  TRACELAKE_DATABASE_URL      a Postgres of yours     postgres://user:password@host/database
  TRACELAKE_NATS_URL          a NATS of yours         nats://host:4222
  TRACELAKE_OBJECT_STORE_URL  where objects go        file:///directory or s3://bucket/prefix
  TRACELAKE_INGEST_PORT (4318), TRACELAKE_TRACE_EXPORT_PORT (4320), TRACELAKE_QUERY_PORT (4321),
  TRACELAKE_MATERIALIZER_PORT (4322), TRACELAKE_BIND (127.0.0.1)

Examples:
  tracelake up
  tracelake up --data-dir /var/lib/tracelake --no-demo
  TRACELAKE_INGEST_PORT=5318 TRACELAKE_TRACE_EXPORT_PORT=5320 TRACELAKE_QUERY_PORT=5321 \\
    TRACELAKE_MATERIALIZER_PORT=5322 tracelake up --data-dir /tmp/second-lake

Exit status: 0 stopped by Ctrl-C or SIGTERM, 1 failed, 2 bad command line or configuration.
`;

export const upCommand: Command = {
  name: 'up',
  summary: 'run the whole stack on this machine',
  help,
  options: {
    'data-dir': { type: 'string' },
    'no-demo': { type: 'boolean' },
    workers: { type: 'string' },
    'channel-depth': { type: 'string' },
  },
  async run(args, context) {
    args.exactly();
    const settings = readSettings(args, context);
    if (settings === undefined) return exitStatus.usage;
    try {
      await runUntilStopped(settings, context);
    } catch (error) {
      return failureStatus(error, context);
    }
    return exitStatus.ok;
  },
};

function readSettings(args: CommandArguments, context: CommandContext): StackSettings | undefined {
  try {
    return readStackSettings(args, context.env, context.cwd);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const lines = error.issues.map(({ variable, problem }) => `  ${variable} ${problem}\n`);
    context.stderr.write(`tracelake: the stack cannot start, its configuration is bad:\n`);
    context.stderr.write(lines.join(''));
    return undefined;
  }
}

async function runUntilStopped(settings: StackSettings, context: CommandContext): Promise<void> {
  const say = (line: string) => void context.stderr.write(`${line}\n`);
  {
    await using stack = await startStack({
      settings,
      env: context.env,
      signal: context.signal,
      say,
    });
    const connection = { urls: stack.urls, apiKey: settings.apiKey };
    const openable = await findOrSendSample(connection, settings.wantsDemo, context.signal);
    context.stdout.write(describeStack(stack, openable));
    await Promise.race([whenAborted(context.signal), stack.hopeless]);
    say('stopping');
  }
  say('stopped');
}

/** Being stopped is how `up` ends well, at whatever point it was. */
function failureStatus(error: unknown, context: CommandContext): number {
  if (context.signal.aborted) {
    context.stderr.write('stopped before everything had started\n');
    return exitStatus.ok;
  }
  if (error instanceof LocalServerError) {
    throw new CliError('cli.stack', errorMessage(error), { cause: error });
  }
  if (error instanceof CliError && error.details.exitStatus === exitStatus.usage) {
    context.stderr.write(`tracelake: ${error.message}\n`);
    return exitStatus.usage;
  }
  throw error;
}

function whenAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

function describeStack(stack: Stack, openable: OpenableProcess | undefined): string {
  const { urls, settings, parts, logDir } = stack;
  const lines = [
    '',
    'Tracelake is up.',
    ...parts.map((part) => `  ${part}`),
    `  Data in ${settings.dataDir}, logs in ${logDir}`,
    '',
    `Send telemetry to  ${urls.ingest}   (native clients: /ingestion/insert_process, ..._stream, ..._block)`,
    `Traces come from   ${urls['trace-export']}/v1/processes`,
    `SQL is answered at ${urls.query}/v1/query   (npx tracelake query "SELECT * FROM processes")`,
    `Operations         ${urls.materializer}/metrics, and /healthz, /readyz, /metrics of each`,
    'Stop with Ctrl-C.',
    '',
  ];
  const prefix = portVariables(settings.ports);
  if (openable === undefined) {
    lines.push('Nothing is in it yet. Once something is, list it:');
    lines.push(`${prefix}npx tracelake processes`);
  } else {
    const what = openable.isSample ? 'a sample trace' : 'the newest trace';
    lines.push(`To have ${what} as a file for https://ui.perfetto.dev, run here:`);
    lines.push(`${prefix}npx tracelake export ${openable.processId} --spans both -o trace.pftrace`);
  }
  return `${lines.join('\n')}\n`;
}
