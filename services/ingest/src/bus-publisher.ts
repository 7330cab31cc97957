import type { Bus } from '@tracelake/bus';
import type { PublishAnnouncement } from './announcement.ts';

/** Turns announcements into the bus's messages. With the server down it rejects at once. */
export function createBusPublisher(bus: Bus): PublishAnnouncement {
  return async (announcement, signal) => {
    switch (announcement.kind) {
      case 'process':
        await bus.publish({ ...announcement, kind: 'process-inserted' }, { signal });
        return;
      case 'stream':
        await bus.publish({ ...announcement, kind: 'stream-inserted' }, { signal });
        return;
      case 'block': {
        const tags = announcement.tags ?? [];
        await bus.publish({ ...announcement, tags, kind: 'block-inserted' }, { signal });
      }
    }
  };
}
