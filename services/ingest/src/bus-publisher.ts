import type { Bus } from '@tracelake/bus';
import type { PublishAnnouncement } from './announcement.ts';
import type { StreamTags } from './stream-tags.ts';

/** Turns announcements into the bus's messages. With the server down it rejects at once. */
export function createBusPublisher(bus: Bus, streamTags: StreamTags): PublishAnnouncement {
  return async (announcement, signal) => {
    switch (announcement.kind) {
      case 'process':
        await bus.publish({ ...announcement, kind: 'process-inserted' }, { signal });
        return;
      case 'stream':
        await bus.publish({ ...announcement, kind: 'stream-inserted' }, { signal });
        return;
      case 'block': {
        const tags = announcement.tags ?? (await streamTags.find(announcement.streamId));
        await bus.publish({ ...announcement, tags, kind: 'block-inserted' }, { signal });
      }
    }
  };
}
