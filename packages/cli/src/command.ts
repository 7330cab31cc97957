import { type ParseArgsConfig, parseArgs } from 'node:util';
import { usageError } from './cli-error.ts';

/** Everything a command touches of the process that runs it, so that tests can bring their own. */
export interface CommandContext {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  /** Aborted with an InterruptedError by Ctrl-C or SIGTERM. */
  readonly signal: AbortSignal;
  readonly stdin: NodeJS.ReadableStream & { readonly isTTY?: boolean };
  readonly stdout: NodeJS.WritableStream & { readonly isTTY?: boolean; readonly columns?: number };
  readonly stderr: NodeJS.WritableStream & { readonly isTTY?: boolean };
}

type OptionTable = NonNullable<ParseArgsConfig['options']>;

/** One subcommand; `src/commands/` has one file for each. */
export interface Command {
  readonly name: string;
  readonly summary: string;
  /** What `--help` prints: usage, options and examples. */
  readonly help: string;
  readonly options: OptionTable;
  /** Returns the exit status; expected failures are thrown as CliError. */
  run(args: CommandArguments, context: CommandContext): Promise<number>;
}

/** Options of every command that talks to a service. */
export const connectionOptions = {
  url: { type: 'string' },
  'api-key': { type: 'string' },
} as const satisfies OptionTable;

export const connectionHelp = `  --url URL          where the services are (TRACELAKE_URL; default http://127.0.0.1).
                     With a port, every call goes there; without, each service is
                     asked on its own port (4318, 4320, 4321, 4322 or TRACELAKE_<SERVICE>_PORT).
                     TRACELAKE_<SERVICE>_URL names one service alone; <SERVICE> is INGEST,
                     TRACE_EXPORT, QUERY or MATERIALIZER
  --api-key KEY      sent as "Authorization: Bearer KEY" (TRACELAKE_API_KEY)`;

type ArgumentValue = string | boolean | readonly (string | boolean)[] | undefined;

/** The parsed command line of one subcommand. */
export class CommandArguments {
  readonly positionals: readonly string[];
  readonly #values: Readonly<Record<string, ArgumentValue>>;

  constructor(positionals: readonly string[], values: Readonly<Record<string, ArgumentValue>>) {
    this.positionals = positionals;
    this.#values = values;
  }

  flag(name: string): boolean {
    return this.#values[name] === true;
  }

  text(name: string): string | undefined {
    const value = this.#values[name];
    return typeof value === 'string' ? value : undefined;
  }

  /** Every value of an option that may be given more than once, in their order. */
  texts(name: string): readonly string[] {
    const value = this.#values[name];
    return Array.isArray(value) ? value.filter((one) => typeof one === 'string') : [];
  }

  /** A whole number within the range, both ends included. Throws a usage error otherwise. */
  integer(name: string, range: { readonly min: number; readonly max: number }): number | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const value = Number(text);
    if (!/^\d{1,15}$/.test(text) || value < range.min || value > range.max) {
      throw usageError(
        `--${name} must be a whole number from ${range.min} to ${range.max}, not "${text}"`,
      );
    }
    return value;
  }

  oneOf<T extends string>(name: string, values: readonly T[]): T | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const value = values.find((candidate) => candidate === text);
    if (value === undefined) {
      throw usageError(`--${name} must be one of ${values.join(', ')}, not "${text}"`);
    }
    return value;
  }

  /** The positional arguments, which must be exactly these. */
  exactly<Names extends readonly string[]>(...names: Names): { [K in keyof Names]: string } {
    if (this.positionals.length !== names.length) {
      const wanted = names.length === 0 ? 'no arguments' : names.join(' ');
      throw usageError(`expected ${wanted}, got ${this.positionals.length} argument(s)`);
    }
    return this.positionals as { [K in keyof Names]: string };
  }
}

/** Parses what follows the subcommand's name. Throws a usage error for anything unknown. */
export function parseArguments(command: Command, argv: readonly string[]): CommandArguments {
  try {
    const { values, positionals } = parseArgs({
      args: [...argv],
      options: { ...command.options, help: { type: 'boolean', short: 'h' } },
      allowPositionals: true,
      strict: true,
    });
    return new CommandArguments(positionals, values as Readonly<Record<string, ArgumentValue>>);
  } catch (error) {
    throw usageError(error instanceof Error ? firstSentence(error.message) : String(error));
  }
}

/** node:util adds advice about `--` that rarely fits. */
function firstSentence(message: string): string {
  return message.split('. ')[0] ?? message;
}
