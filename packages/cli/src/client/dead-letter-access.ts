import {
  BusError,
  type DeadLetter,
  type DeadLetters,
  decodeMessage,
  openDeadLetters,
} from '@tracelake/bus';
import { errorMessage } from '@tracelake/domain';
import { CliError, usageError } from '../cli-error.ts';
import type { CommandContext } from '../command.ts';

const connectMaxMs = 5000;

/** Opens the dead letters of the lake whose NATS is in TRACELAKE_NATS_URL. Throws a usage error, `cli.unreachable`. */
export async function openOwnDeadLetters(context: CommandContext): Promise<DeadLetters> {
  const servers = context.env.TRACELAKE_NATS_URL;
  if (servers === undefined || servers === '') {
    throw usageError('TRACELAKE_NATS_URL must name the NATS server, as in nats://127.0.0.1:4222');
  }
  const deadline = AbortSignal.timeout(connectMaxMs);
  try {
    return await openDeadLetters({
      servers,
      name: 'tracelake dead-letters',
      signal: AbortSignal.any([context.signal, deadline]),
    });
  } catch (cause) {
    context.signal.throwIfAborted();
    throw asCliError(cause);
  }
}

/** What the bus says, with what to do about it; anything else as it is. */
export function asCliError(cause: unknown): unknown {
  if (!(cause instanceof BusError)) return cause;
  if (cause.code === 'bus.unavailable') {
    return new CliError(
      'cli.unreachable',
      `${cause.message}; is NATS up, and is TRACELAKE_NATS_URL its address as seen from here? ` +
        'Nothing was lost: run the command again',
      { cause, retryable: true },
    );
  }
  return new CliError('cli.refused', cause.message, { cause });
}

/** A dead letter as `--json` prints it; names as in the answers of the services. */
export function describeDeadLetter(letter: DeadLetter) {
  return {
    sequence: letter.sequence,
    stream: letter.stream,
    subject: letter.subject,
    reason: letter.reason,
    dead_at: letter.deadAt,
    deliveries: letter.deliveryCount,
    consumer: letter.consumer,
    original_sequence: letter.originalSequence,
    bytes: letter.data.byteLength,
  };
}

/** The message inside, or why it cannot be read with its bytes in base64. */
export function describeContent(letter: DeadLetter): Readonly<Record<string, unknown>> {
  const headers = Object.fromEntries(letter.headers);
  try {
    return { headers, message: decodeMessage(letter.subject, letter.data) };
  } catch (error) {
    const base64 = Buffer.from(letter.data).toString('base64');
    return { headers, unreadable: errorMessage(error), base64 };
  }
}
