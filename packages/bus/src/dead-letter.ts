/** A message that nobody can or will handle, as it goes to `dead.<stream>`: its own bytes, the story in headers. */
import type { MsgHdrs } from '@nats-io/nats-core';
import { BusError } from './bus-error.ts';
import type { Delivery } from './delivery.ts';
import type { OutgoingMessage } from './publisher.ts';
import { deadLetterSubject, STREAM_SUBJECTS } from './subjects.ts';

export const DEAD_LETTER_HEADERS = {
  reason: 'Tracelake-Dead-Reason',
  stream: 'Tracelake-Dead-Stream',
  consumer: 'Tracelake-Dead-Consumer',
  subject: 'Tracelake-Dead-Subject',
  sequence: 'Tracelake-Dead-Sequence',
  deliveryCount: 'Tracelake-Dead-Delivery-Count',
  /** Before the name of each header that the message had. */
  originalPrefix: 'Tracelake-Original-',
} as const;

const REASON_LENGTH_MAX = 1_000;

export function deadLetterOf(delivery: Delivery, reason: string): OutgoingMessage {
  const { info } = delivery;
  const headers = new Map<string, readonly string[]>([
    [DEAD_LETTER_HEADERS.reason, [headerText(reason)]],
    [DEAD_LETTER_HEADERS.stream, [info.stream]],
    [DEAD_LETTER_HEADERS.consumer, [info.consumer]],
    [DEAD_LETTER_HEADERS.subject, [delivery.subject]],
    [DEAD_LETTER_HEADERS.sequence, [String(info.streamSequence)]],
    [DEAD_LETTER_HEADERS.deliveryCount, [String(info.deliveryCount)]],
  ]);
  for (const name of delivery.headers?.keys() ?? []) {
    const values = delivery.headers?.values(name) ?? [];
    headers.set(`${DEAD_LETTER_HEADERS.originalPrefix}${name}`, values);
  }
  return {
    subject: deadLetterSubject(info.stream),
    data: delivery.data,
    // The time tells sequence 1 of a stream from sequence 1 of the stream made anew.
    messageId: `dead:${info.stream}:${info.consumer}:${info.streamSequence}:${info.storedAtNs}`,
    headers,
  };
}

/** A message of DEAD, with the story that its headers tell. */
export interface DeadLetter {
  /** Its place in DEAD: what an operator names it by. */
  readonly sequence: number;
  /** When it became a dead letter, RFC 3339. */
  readonly deadAt: string;
  readonly reason: string;
  /** The stream and the subject that it came from. */
  readonly stream: string;
  readonly subject: string;
  readonly consumer: string;
  /** Its place in that stream. */
  readonly originalSequence: number;
  readonly deliveryCount: number;
  /** The message as it was. */
  readonly data: Uint8Array;
  /** The headers as they were. */
  readonly headers: ReadonlyMap<string, readonly string[]>;
}

/** What the server says about a stored message. */
export interface StoredMessage {
  readonly seq: number;
  readonly subject: string;
  readonly header: MsgHdrs;
  readonly data: Uint8Array;
  readonly timestamp: string;
}

/** Reads a message of DEAD; what its headers do not say is empty or 0, so that anything there can be listed. */
export function readDeadLetter(stored: StoredMessage): DeadLetter {
  const { header } = stored;
  const { originalPrefix } = DEAD_LETTER_HEADERS;
  const headers = new Map<string, readonly string[]>();
  for (const name of header.keys()) {
    if (!name.startsWith(originalPrefix)) continue;
    headers.set(name.slice(originalPrefix.length), header.values(name));
  }
  return {
    sequence: stored.seq,
    deadAt: stored.timestamp,
    reason: header.get(DEAD_LETTER_HEADERS.reason),
    stream: header.get(DEAD_LETTER_HEADERS.stream) || stored.subject.replace(/^dead\./, ''),
    subject: header.get(DEAD_LETTER_HEADERS.subject),
    consumer: header.get(DEAD_LETTER_HEADERS.consumer),
    originalSequence: countOf(header.get(DEAD_LETTER_HEADERS.sequence)),
    deliveryCount: countOf(header.get(DEAD_LETTER_HEADERS.deliveryCount)),
    data: stored.data,
    headers,
  };
}

/**
 * The original message under an id of its own: that of the original is still known to the stream for a while, which
 * would drop it. The id comes from the dead letter, so that two replays of one store one message. Throws
 * `bus.bad-dead-letter` when it does not say where it came from.
 */
export function replayOf(letter: DeadLetter): OutgoingMessage {
  const streams: Readonly<Record<string, string>> = STREAM_SUBJECTS;
  const prefix = streams[letter.stream]?.replace(/>$/, '');
  const isKnown = letter.stream !== 'DEAD' && prefix !== undefined;
  if (!isKnown || !letter.subject.startsWith(prefix) || /[\s*>]/.test(letter.subject)) {
    throw new BusError(
      'bus.bad-dead-letter',
      `dead letter ${letter.sequence} does not say where it came from (stream "${letter.stream}", ` +
        `subject "${letter.subject}"), so it cannot go back there`,
      { details: { sequence: letter.sequence } },
    );
  }
  const headers = [...letter.headers].filter(([name]) => !name.startsWith('Nats-'));
  return {
    subject: letter.subject,
    data: letter.data,
    messageId: `replay:${letter.sequence}:${letter.deadAt}`,
    headers: new Map(headers),
  };
}

function countOf(text: string): number {
  return /^\d{1,15}$/.test(text) ? Number(text) : 0;
}

/** Header values are one line. */
function headerText(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what must not stay
  return text.replaceAll(/[\u0000-\u001f\u007f]+/g, ' ').slice(0, REASON_LENGTH_MAX);
}
