import type { Bus, BusMessage } from '@tracelake/bus';
import type { Announcement, PublishAnnouncements } from './announcement.ts';

/** Turns announcements into the bus's messages. With the server down it fails at once. */
export function createBusPublisher(bus: Bus): PublishAnnouncements {
  return (announcements, signal) => bus.publishAll(announcements.map(messageOf), { signal });
}

function messageOf(announcement: Announcement): BusMessage {
  switch (announcement.kind) {
    case 'process':
      return { ...announcement, kind: 'process-inserted' };
    case 'stream':
      return { ...announcement, kind: 'stream-inserted' };
    case 'block':
      return { ...announcement, tags: announcement.tags ?? [], kind: 'block-inserted' };
  }
}
