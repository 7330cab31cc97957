import { migrate, openDatabase } from '@tracelake/storage';
import { CliError, exitStatus } from '../cli-error.ts';
import type { Command } from '../command.ts';

const help = `Usage: tracelake migrate

Brings the schema of the database in TRACELAKE_DATABASE_URL to the version of this
release. Safe to run from several places at once and again: it queues on a lock and
does what is missing. "tracelake up" does it by itself.

Examples:
  TRACELAKE_DATABASE_URL=postgres://user:password@host/tracelake tracelake migrate
`;

export const migrateCommand: Command = {
  name: 'migrate',
  summary: "bring a database's schema up to date",
  help,
  options: {},
  async run(args, context) {
    args.exactly();
    const url = context.env.TRACELAKE_DATABASE_URL;
    if (url === undefined || url === '') {
      throw new CliError('cli.usage', 'TRACELAKE_DATABASE_URL must name the database');
    }
    await using database = openDatabase(url);
    const { applied, version } = await migrate(database, context.signal).catch((cause: unknown) => {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new CliError('cli.stack', `the database cannot be migrated: ${reason}`, { cause });
    });
    for (const name of applied) context.stderr.write(`applied ${name}\n`);
    context.stdout.write(`schema version ${version}\n`);
    return exitStatus.ok;
  },
};
