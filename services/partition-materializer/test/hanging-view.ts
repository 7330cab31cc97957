/** {@link logLevels}, whose decoder hangs on a block of as many events as {@link HANGING_EVENTS}. */

import type { ViewSet } from '@tracelake/lakehouse';
import { view as logLevels } from './log-levels-view.ts';

export const HANGING_EVENTS = 13;

export const view: ViewSet = {
  ...(logLevels as ViewSet),
  moduleUrl: import.meta.url,
  parseBlock(input) {
    while (input.block.objectCount === HANGING_EVENTS);
    return logLevels.parseBlock(input);
  },
};
