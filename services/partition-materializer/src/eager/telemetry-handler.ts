/** What a telemetry event means for eager views: which of their instances have news. */

import type { StreamMessages } from '@tracelake/bus';
import type { ViewSet } from '@tracelake/lakehouse';
import type { EagerItem } from './eager-schedule.ts';

/**
 * A block is news for the eager views of its stream's tag; without tags (its stream was not known yet)
 * for all of them. A stream or a process that comes after its blocks makes those wanted, so it is news
 * as well. An instance that turns out to be current costs one look into Postgres.
 */
export function eagerItemsOf(
  message: StreamMessages['TELEMETRY'],
  eagerViews: readonly ViewSet[],
): EagerItem[] {
  switch (message.kind) {
    case 'process-inserted':
      return itemsFor(
        eagerViews.filter((view) => view.instanceRule === 'process'),
        message.processId,
        undefined,
      );
    case 'stream-inserted':
    case 'block-inserted': {
      const { tags } = message;
      const views = eagerViews.filter((view) => tags.length === 0 || tags.includes(view.streamTag));
      return itemsFor(views, message.processId, message.streamId);
    }
  }
}

function itemsFor(
  views: readonly ViewSet[],
  processId: string,
  streamId: string | undefined,
): EagerItem[] {
  return views.flatMap((view) => {
    const instance = view.instanceRule === 'process' ? processId : streamId;
    return instance === undefined ? [] : [{ viewSet: view.name, instance }];
  });
}
