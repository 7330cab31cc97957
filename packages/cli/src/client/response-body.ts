import { CliError } from '../cli-error.ts';
import { networkReason } from './http-call.ts';

/** The body's chunks; a body that is cut off throws, so that it is never taken for a whole one. */
export async function* bodyOf(
  response: Response,
  what: 'trace' | 'answer',
  signal: AbortSignal,
): AsyncIterable<Uint8Array> {
  if (response.body === null) return;
  try {
    for await (const chunk of response.body) yield chunk;
  } catch (cause) {
    if (signal.aborted) throw cause;
    throw new CliError(
      'cli.bad-answer',
      `the ${what} was cut off by the service (${networkReason(cause)}); its log says why`,
      { cause, retryable: true },
    );
  }
}
