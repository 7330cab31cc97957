/** Whether what is built of an instance can be read as it is. Pure. */

import { isCoverageConsistent, type ViewSet } from '@tracelake/lakehouse';
import type { InstanceState } from '@tracelake/storage';

/**
 * True when the partitions cover every block that was wanted at the first look and give exactly the rows of the
 * blocks they cover. They may cover more, because builds go on, and less than is there now.
 */
export function isInstanceComplete(
  view: Pick<ViewSet, 'folds'>,
  instance: Pick<InstanceState, 'target' | 'targetCovered' | 'partitions'>,
): boolean {
  if (instance.targetCovered !== instance.target) return false;
  return isCoverageConsistent(view, instance.partitions);
}
