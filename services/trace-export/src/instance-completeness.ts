/** Whether what is built of an instance can be read as it is. Pure. */

import type { BlockId, ProcessInfo } from '@tracelake/domain';
import {
  calibrate,
  chooseCalibrationEvidence,
  isConsistent,
  type RunContext,
  type ViewSet,
} from '@tracelake/lakehouse';
import type { InstanceState, ProcessSnapshot } from '@tracelake/storage';

/**
 * True when the partitions cover at least `wanted` and give exactly the rows of the blocks they cover. They
 * may cover more than was wanted, because builds go on, and less than is there now.
 */
export function isInstanceComplete(
  view: ViewSet,
  snapshot: ProcessSnapshot,
  instance: InstanceState,
  wanted: readonly BlockId[],
): boolean {
  const { process } = snapshot;
  if (process === undefined) return wanted.length === 0;
  const covered = new Set(instance.partitions.flatMap((partition) => partition.blockIds));
  if (!wanted.every((blockId) => covered.has(blockId))) return false;
  const { schemaHash, partitions } = instance;
  const blocks = instance.wanted.filter((block) => covered.has(block.blockId));
  const context = runContextOf(process, snapshot);
  return isConsistent({ view, schemaHash, context, wanted: blocks, partitions }) === 'complete';
}

function runContextOf(process: ProcessInfo, snapshot: ProcessSnapshot): RunContext {
  const evidence = chooseCalibrationEvidence(process, snapshot.calibrationCandidates);
  return { process, streams: snapshot.streams, calibration: calibrate(process, evidence) };
}
