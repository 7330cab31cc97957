import { AppError } from '@tracelake/domain';

/** Exit statuses of every subcommand; `tracelake --help` lists them. */
export const exitStatus = {
  ok: 0,
  failed: 1,
  usage: 2,
  interrupted: 130,
  terminated: 143,
} as const;

export type CliErrorCode =
  | 'cli.usage'
  | 'cli.unreachable'
  | 'cli.refused'
  | 'cli.not-found'
  | 'cli.bad-answer'
  | 'cli.file'
  | 'cli.stack';

/** A failure whose message says to the person at the terminal what happened and what to do. */
export class CliError extends AppError<CliErrorCode> {}

/** A command line that cannot be understood: exit status 2, with the way to its help. */
export function usageError(message: string): CliError {
  return new CliError('cli.usage', message);
}

/** What the signal of an interrupted command carries as its reason. */
export class InterruptedError extends Error {
  readonly signalName: 'SIGINT' | 'SIGTERM' | 'SIGHUP';

  constructor(signalName: 'SIGINT' | 'SIGTERM' | 'SIGHUP') {
    super(`interrupted by ${signalName}`);
    this.name = 'InterruptedError';
    this.signalName = signalName;
  }

  get exitStatus(): number {
    return this.signalName === 'SIGINT' ? exitStatus.interrupted : exitStatus.terminated;
  }
}
