/** Whether what is built of an instance can be read as it is. Pure. */

import {
  calibrate,
  chooseCalibrationEvidence,
  type InstancePlan,
  isCoverageConsistent,
  planInstance,
  type ViewSet,
} from '@tracelake/lakehouse';
import type { InstanceSnapshot, InstanceState } from '@tracelake/storage';

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

/** What would be built now, and why; undefined when the process is not known, for then nothing is wanted. */
export function planInstanceNow(
  view: ViewSet,
  { process, streams, calibrationCandidates, ...instance }: InstanceSnapshot,
): InstancePlan | undefined {
  if (process === undefined) return undefined;
  const evidence = chooseCalibrationEvidence(process, calibrationCandidates);
  const context = { process, streams, calibration: calibrate(process, evidence) };
  const { schemaHash, wanted, partitions } = instance;
  return planInstance({ view, schemaHash, context, wanted, partitions });
}
