import type { UnannouncedBlock, UnannouncedProcess, UnannouncedStream } from '@tracelake/storage';

/** A durable row to tell the bus about. */
export type Announcement =
  | ({ readonly kind: 'process' } & UnannouncedProcess)
  | ({ readonly kind: 'stream' } & UnannouncedStream)
  | ({ readonly kind: 'block' } & UnannouncedBlock);

/** Resolves once the bus has acknowledged each or failed to; the result at each index is of the one there. */
export type PublishAnnouncements = (
  announcements: readonly Announcement[],
  signal: AbortSignal,
) => Promise<readonly PromiseSettledResult<unknown>[]>;

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
