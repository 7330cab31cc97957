/** A message that nobody can or will handle, as it goes to `dead.<stream>`: its own bytes, the story in headers. */
import type { Delivery } from './delivery.ts';
import type { OutgoingMessage } from './publisher.ts';
import { deadLetterSubject } from './subjects.ts';

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

/** Header values are one line. */
function headerText(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what must not stay
  return text.replaceAll(/[\u0000-\u001f\u007f]+/g, ' ').slice(0, REASON_LENGTH_MAX);
}
