/** The dead letters of a lake, for an operator: look at them, send them again, throw them away. */
import { JetStreamApiError, type JetStreamManager, jetstreamManager } from '@nats-io/jetstream';
import { errorMessage } from '@tracelake/domain';
import { BusConnection } from './bus-connection.ts';
import { BusError } from './bus-error.ts';
import { type DeadLetter, readDeadLetter, replayOf } from './dead-letter.ts';
import { Publisher, type PublishReceipt } from './publisher.ts';
import { API_TIMEOUT_MS } from './stream-keeper.ts';
import { deadLetterSubject, STREAM_SUBJECTS } from './subjects.ts';
import { raceAbort } from './waiting.ts';

export interface DeadLettersOptions {
  /** `nats://host:port`, several with commas; `tls://`, `user:password@` and `token@` are understood. */
  readonly servers: string;
  /** How the server's operator sees this connection. */
  readonly name: string;
  /** Ends the wait for the server. */
  readonly signal: AbortSignal;
}

export interface ListDeadLettersOptions {
  /** Only those that came from this stream. */
  readonly stream?: string | undefined;
  readonly signal: AbortSignal;
}

const STREAM_NOT_FOUND = 10_059;
const MESSAGE_NOT_FOUND = 10_037;
const DELETE_FAILED = 10_057;

/**
 * Connects to the server and returns when it answers. Makes no stream: where there is no DEAD there are no dead
 * letters. Throws `bus.unavailable` when the signal aborts first or the address is none.
 */
export async function openDeadLetters(options: DeadLettersOptions): Promise<DeadLetters> {
  await using stack = new AsyncDisposableStack();
  const connection = stack.use(connectTo(options));
  const manager = await jetstreamManager(await connection.whenUp(options.signal), {
    checkAPI: false,
    timeout: API_TIMEOUT_MS,
  });
  const letters = new DeadLetters(connection, manager);
  stack.move();
  return letters;
}

/** Made by {@link openDeadLetters}. Every call throws `bus.unavailable` (retryable) when the server is away. */
export class DeadLetters implements AsyncDisposable {
  readonly #connection: BusConnection;
  readonly #manager: JetStreamManager;
  readonly #publisher: Publisher;

  constructor(connection: BusConnection, manager: JetStreamManager) {
    this.#connection = connection;
    this.#manager = manager;
    this.#publisher = new Publisher({
      connection,
      onEvent: () => {},
      windowSize: 1,
      waitersMax: 1,
    });
  }

  /**
   * The dead letters that are there when the listing starts, oldest first, one at a time; those that go meanwhile
   * are left out.
   */
  async *list({ stream, signal }: ListDeadLettersOptions): AsyncGenerator<DeadLetter> {
    const last = await this.#lastSequence(signal);
    const subject = stream === undefined ? STREAM_SUBJECTS.DEAD : deadLetterSubject(stream);
    for (let sequence = 1; sequence <= last; sequence++) {
      const letter = await this.#get({ seq: sequence, next_by_subj: subject }, signal);
      if (letter === undefined || letter.sequence > last) return;
      yield letter;
      sequence = letter.sequence;
    }
  }

  /** The dead letter at this place in DEAD; undefined when it is gone or never was. */
  find(sequence: number, signal: AbortSignal): Promise<DeadLetter | undefined> {
    return this.#get({ seq: sequence }, signal);
  }

  /**
   * Publishes the original message again, on its original subject under a new id, and takes the dead letter out of
   * DEAD once the server has acknowledged it: stopped in between, it is still there, and replaying it again within
   * two minutes stores no second message. Throws `bus.bad-dead-letter` and what publishing throws; the letter
   * stays then.
   */
  async replay(letter: DeadLetter, signal: AbortSignal): Promise<PublishReceipt> {
    const receipt = await this.#publisher.publish(replayOf(letter), { signal });
    await this.discard(letter.sequence, signal);
    return receipt;
  }

  /** Takes a dead letter out of DEAD for good. Resolves with whether it was still there. */
  async discard(sequence: number, signal: AbortSignal): Promise<boolean> {
    try {
      const deletion = this.#manager.streams.deleteMessage('DEAD', sequence, false);
      return await raceAbort(deletion, signal);
    } catch (error) {
      signal.throwIfAborted();
      if (isApiError(error, STREAM_NOT_FOUND, MESSAGE_NOT_FOUND)) return false;
      // Servers answer so for a message that is not there, and for one that they could not delete.
      const isGone =
        isApiError(error, DELETE_FAILED) && (await this.find(sequence, signal)) === undefined;
      if (isGone) return false;
      throw apiError(error);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#publisher.close();
    await this.#connection.close();
  }

  async #lastSequence(signal: AbortSignal): Promise<number> {
    try {
      const info = await raceAbort(this.#manager.streams.info('DEAD'), signal);
      return info.state.messages === 0 ? 0 : info.state.last_seq;
    } catch (error) {
      signal.throwIfAborted();
      if (isApiError(error, STREAM_NOT_FOUND)) return 0;
      throw apiError(error);
    }
  }

  async #get(
    query: { readonly seq: number; readonly next_by_subj?: string },
    signal: AbortSignal,
  ): Promise<DeadLetter | undefined> {
    try {
      const stored = await raceAbort(this.#manager.streams.getMessage('DEAD', query), signal);
      return stored === null ? undefined : readDeadLetter(stored);
    } catch (error) {
      signal.throwIfAborted();
      if (isApiError(error, STREAM_NOT_FOUND, MESSAGE_NOT_FOUND)) return undefined;
      throw apiError(error);
    }
  }
}

function connectTo({ servers, name }: DeadLettersOptions): BusConnection {
  try {
    return new BusConnection({ servers, name, onEvent: () => {}, onUp: () => {} });
  } catch (cause) {
    if (cause instanceof BusError) throw cause;
    throw new BusError('bus.unavailable', `the address of NATS is none: ${errorMessage(cause)}`, {
      cause,
    });
  }
}

function isApiError(error: unknown, ...codes: readonly number[]): boolean {
  return error instanceof JetStreamApiError && codes.includes(error.code);
}

/** What the server refused is not to be tried again; that it did not answer is. */
function apiError(cause: unknown): BusError {
  if (cause instanceof JetStreamApiError && cause.status < 500) {
    return new BusError('bus.stream-refused', `NATS refused: ${cause.message}`, { cause });
  }
  return new BusError(
    'bus.unavailable',
    `the NATS server does not answer: ${errorMessage(cause)}`,
    { cause, retryable: true },
  );
}
