/** The streams as data. Only what NATS 2.9 knows: it drops newer settings without a word. */
import type { StreamConfig } from '@nats-io/jetstream';
import { STREAM_NAMES, STREAM_SUBJECTS, type StreamName } from './subjects.ts';

/** Bounds of one stream. What is over them goes: the oldest first, but for MATERIALIZE, which refuses new ones. */
export interface StreamBounds {
  readonly bytesMax: number;
  readonly messagesMax: number;
  readonly ageMaxMs: number;
  /** Within this time a message id is stored once. */
  readonly duplicateWindowMs: number;
}

export interface StreamSettings {
  /** Copies of each stream in a cluster: 1, 3 or 5. */
  readonly replicas: number;
  readonly bounds: Readonly<Record<StreamName, StreamBounds>>;
}

/** What the server is asked for: exactly the fields that are compared with its answer. */
export type WantedStream = Pick<
  StreamConfig,
  | 'name'
  | 'subjects'
  | 'retention'
  | 'storage'
  | 'discard'
  | 'num_replicas'
  | 'max_age'
  | 'max_bytes'
  | 'max_msgs'
  | 'duplicate_window'
>;

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
const MIB = 1024 * 1024;

export const DEFAULT_STREAM_SETTINGS: StreamSettings = {
  replicas: 1,
  bounds: {
    TELEMETRY: bounds({ bytesMax: 1024 * MIB, messagesMax: 5_000_000, ageMaxMs: 24 * HOUR_MS }),
    // A request is of no use after its requester's deadline; the age keeps an unserved queue from filling up.
    MATERIALIZE: bounds({ bytesMax: 64 * MIB, messagesMax: 100_000, ageMaxMs: HOUR_MS }),
    PARTITIONS: bounds({ bytesMax: 128 * MIB, messagesMax: 500_000, ageMaxMs: HOUR_MS }),
    DEAD: bounds({ bytesMax: 256 * MIB, messagesMax: 1_000_000, ageMaxMs: 30 * DAY_MS }),
  },
};

export function wantedStreams(settings: StreamSettings): WantedStream[] {
  return STREAM_NAMES.map((name) => {
    const { bytesMax, messagesMax, ageMaxMs, duplicateWindowMs } = settings.bounds[name];
    const isQueue = name === 'MATERIALIZE';
    return {
      name,
      subjects: [STREAM_SUBJECTS[name]],
      retention: isQueue ? 'workqueue' : 'limits',
      storage: 'file',
      discard: isQueue ? 'new' : 'old',
      num_replicas: settings.replicas,
      max_age: ageMaxMs * 1_000_000,
      max_bytes: bytesMax,
      max_msgs: messagesMax,
      duplicate_window: duplicateWindowMs * 1_000_000,
    };
  });
}

/** The names of the fields in which the server's stream is not what was asked for. */
export function differingFields(
  wanted: Readonly<Record<string, unknown>>,
  actual: Readonly<Record<string, unknown>>,
): string[] {
  return Object.keys(wanted).filter(
    (field) => JSON.stringify(wanted[field]) !== JSON.stringify(actual[field]),
  );
}

function bounds(partial: Omit<StreamBounds, 'duplicateWindowMs'>): StreamBounds {
  return { ...partial, duplicateWindowMs: 2 * MINUTE_MS };
}
