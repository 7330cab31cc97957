import type { BusError } from './bus-error.ts';

export type ConsumerOutcome = 'ack' | 'nak' | 'dead-letter';

/** What the bus tells its owner for logs and metrics. The ids belong in the log, the rest may be labels. */
export type BusEvent =
  | { readonly type: 'connected'; readonly server: string; readonly serverVersion: string }
  | { readonly type: 'disconnected' }
  | { readonly type: 'connect-failed'; readonly error: unknown }
  /** Streams were made; `lost` names those whose former content is gone. */
  | {
      readonly type: 'streams-made';
      readonly made: readonly string[];
      readonly lost: readonly string[];
    }
  | { readonly type: 'stream-setup-failed'; readonly error: BusError }
  | {
      readonly type: 'published';
      readonly stream: string;
      readonly durationMs: number;
      readonly isDuplicate: boolean;
    }
  | { readonly type: 'publish-failed'; readonly subject: string; readonly error: BusError }
  | { readonly type: 'consumer-made'; readonly stream: string; readonly durable: string }
  | {
      readonly type: 'consumer-failed';
      readonly stream: string;
      readonly durable: string;
      readonly error: unknown;
    }
  | {
      readonly type: 'handled';
      readonly stream: string;
      readonly durable: string;
      readonly outcome: ConsumerOutcome;
      readonly deliveryCount: number;
      readonly durationMs: number;
      readonly error?: unknown;
    }
  | {
      readonly type: 'dead-lettered';
      readonly stream: string;
      readonly durable: string;
      readonly subject: string;
      readonly reason: string;
    };

export type BusEventListener = (event: BusEvent) => void;
