import type { UnannouncedBlock, UnannouncedProcess, UnannouncedStream } from '@tracelake/storage';

/** A durable row to tell the bus about. */
export type Announcement =
  | ({ readonly kind: 'process' } & UnannouncedProcess)
  | ({ readonly kind: 'stream' } & UnannouncedStream)
  | ({ readonly kind: 'block' } & UnannouncedBlock);

/** Resolves once the bus has acknowledged the message. */
export type PublishAnnouncement = (
  announcement: Announcement,
  signal: AbortSignal,
) => Promise<void>;

export function idOf(announcement: Announcement): string {
  switch (announcement.kind) {
    case 'process':
      return announcement.processId;
    case 'stream':
      return announcement.streamId;
    case 'block':
      return announcement.blockId;
  }
}
