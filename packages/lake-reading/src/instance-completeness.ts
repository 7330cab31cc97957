/** Whether what is built of an instance can be read as it is. Pure. */

import type { BlockId, ProcessInfo } from '@tracelake/domain';
import {
  calibrate,
  chooseCalibrationEvidence,
  type InstancePlan,
  isConsistent,
  planInstance,
  type RunContext,
  type ViewSet,
} from '@tracelake/lakehouse';
import type { InstanceState, ProcessContext } from '@tracelake/storage';

/**
 * True when the partitions cover at least `wanted` and give exactly the rows of the blocks they cover. They
 * may cover more than was wanted, because builds go on, and less than is there now.
 */
export function isInstanceComplete(
  view: ViewSet,
  known: ProcessContext,
  instance: InstanceState,
  wanted: readonly BlockId[],
): boolean {
  const { process } = known;
  if (process === undefined) return wanted.length === 0;
  const covered = new Set(instance.partitions.flatMap((partition) => partition.blockIds));
  if (!wanted.every((blockId) => covered.has(blockId))) return false;
  const { schemaHash, partitions } = instance;
  const blocks = instance.wanted.filter((block) => covered.has(block.blockId));
  const context = runContextOf(process, known);
  return isConsistent({ view, schemaHash, context, wanted: blocks, partitions }) === 'complete';
}

/** What would be built now, and why; undefined when the process is not known, for then nothing is wanted. */
export function planInstanceNow(
  view: ViewSet,
  known: ProcessContext,
  { schemaHash, wanted, partitions }: InstanceState,
): InstancePlan | undefined {
  if (known.process === undefined) return undefined;
  const context = runContextOf(known.process, known);
  return planInstance({ view, schemaHash, context, wanted, partitions });
}

function runContextOf(process: ProcessInfo, known: ProcessContext): RunContext {
  const evidence = chooseCalibrationEvidence(process, known.calibrationCandidates);
  return { process, streams: known.streams, calibration: calibrate(process, evidence) };
}
