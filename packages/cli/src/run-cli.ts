import { readFileSync } from 'node:fs';
import { CliError, exitStatus, InterruptedError, usageError } from './cli-error.ts';
import { type Command, type CommandContext, parseArguments } from './command.ts';
import { backfillCommand } from './commands/backfill.ts';
import { benchCommand } from './commands/bench.ts';
import { copyStoreCommand } from './commands/copy-store.ts';
import { costCommand } from './commands/cost.ts';
import { deadLettersCommand } from './commands/dead-letters.ts';
import { doctorCommand } from './commands/doctor.ts';
import { exportCommand } from './commands/export.ts';
import { logsCommand } from './commands/logs.ts';
import { materializeCommand } from './commands/materialize.ts';
import { migrateCommand } from './commands/migrate.ts';
import { partitionsCommand } from './commands/partitions.ts';
import { processesCommand } from './commands/processes.ts';
import { queryCommand } from './commands/query.ts';
import { replayCommand } from './commands/replay.ts';
import { retentionCommand } from './commands/retention.ts';
import { topCommand } from './commands/top.ts';
import { upCommand } from './commands/up.ts';

const commands: readonly Command[] = [
  upCommand,
  processesCommand,
  exportCommand,
  queryCommand,
  logsCommand,
  topCommand,
  replayCommand,
  partitionsCommand,
  materializeCommand,
  backfillCommand,
  migrateCommand,
  copyStoreCommand,
  retentionCommand,
  deadLettersCommand,
  doctorCommand,
  costCommand,
  benchCommand,
];

/** Runs one command line and gives the exit status; never throws for what a user can cause. */
export async function runCli(argv: readonly string[], context: CommandContext): Promise<number> {
  try {
    return await dispatch(argv, context);
  } catch (error) {
    return reportFailure(error, argv, context);
  }
}

async function dispatch(argv: readonly string[], context: CommandContext): Promise<number> {
  const [name, ...rest] = argv;
  if (name === undefined) {
    context.stderr.write(overview());
    return exitStatus.usage;
  }
  if (name === '--version' || name === '-V' || name === 'version') {
    context.stdout.write(`tracelake ${ownVersion()} (Node ${process.versions.node})\n`);
    return exitStatus.ok;
  }
  if (name === '--help' || name === '-h' || name === 'help') {
    const [topic] = rest;
    context.stdout.write(topic === undefined ? overview() : findCommand(topic).help);
    return exitStatus.ok;
  }
  const command = findCommand(name);
  const args = parseArguments(command, rest);
  if (args.flag('help')) {
    context.stdout.write(command.help);
    return exitStatus.ok;
  }
  return await command.run(args, context);
}

function findCommand(name: string): Command {
  const command = commands.find((candidate) => candidate.name === name);
  if (command === undefined) {
    throw usageError(
      `there is no command "${name}"; there are ${commands.map((c) => c.name).join(', ')}`,
    );
  }
  return command;
}

function reportFailure(error: unknown, argv: readonly string[], context: CommandContext): number {
  if (context.signal.aborted && context.signal.reason instanceof InterruptedError) {
    context.stderr.write(`tracelake: ${context.signal.reason.message}\n`);
    return context.signal.reason.exitStatus;
  }
  if (!(error instanceof Error)) {
    context.stderr.write(`tracelake: ${String(error)}\n`);
    return exitStatus.failed;
  }
  if (error instanceof CliError) {
    context.stderr.write(`tracelake: ${error.message}\n`);
    if (error.code !== 'cli.usage') return exitStatus.failed;
    const known = commands.find((command) => command.name === argv[0]);
    context.stderr.write(`See "tracelake ${known === undefined ? '' : `${known.name} `}--help".\n`);
    return exitStatus.usage;
  }
  context.stderr.write(`tracelake: unexpected failure: ${error.stack ?? error.message}\n`);
  return exitStatus.failed;
}

function ownVersion(): string {
  const path = new URL('../package.json', import.meta.url);
  const { version } = JSON.parse(readFileSync(path, 'utf8')) as { version: string };
  return version;
}

function overview(): string {
  const rows = commands.map((command) => `  ${command.name.padEnd(14)}${command.summary}`);
  return `tracelake: telemetry blocks in, Perfetto traces and SQL answers out

Usage: tracelake COMMAND [options]      "tracelake COMMAND --help" has examples

${rows.join('\n')}

The first minute:
  npm start                                   the whole stack, with a sample in it
  npx tracelake processes                     what has sent telemetry
  npx tracelake export PROCESS_ID --open      its trace, in the Perfetto UI

Exit status: 0 done, 1 failed, 2 bad command line or configuration,
130 interrupted by Ctrl-C, 143 ended by SIGTERM.
`;
}
