/**
 * The scale of a process's tick counter. Some clients do not know it; then it follows from one of the process's
 * own blocks, the evidence, chosen so that it seldom changes while the process lives on.
 */

import type { BlockInfo, ProcessInfo, TickCalibration } from '@tracelake/domain';

/** What of a block tells the scale. */
export type CalibrationEvidence = Pick<BlockInfo, 'blockId' | 'endNs' | 'endTicks'>;

/** For a process that neither says nor shows its frequency: ticks then count as nanoseconds. */
const NOMINAL_FREQUENCY_HZ = 1e9;

/**
 * The block that the frequency is estimated from: of the blocks that ended at least `2^k` ms after the process
 * began, with `2^k` ms the largest power that any of them reached, the least by `(end_ticks, block_id)`. So it
 * changes at most with the logarithm of the process's life. Undefined when the process knows its frequency or
 * no block can tell.
 */
export function chooseCalibrationEvidence<Block extends CalibrationEvidence>(
  process: ProcessInfo,
  blocks: Iterable<Block>,
): Block | undefined {
  if (process.tscFrequencyHz > 0n) return undefined;
  const all = [...blocks];
  let longestNs = 0n;
  for (const block of all) {
    const elapsedNs = block.endNs - process.startNs;
    if (elapsedNs > longestNs) longestNs = elapsedNs;
  }
  if (longestNs === 0n) return undefined;
  const thresholdNs = largestPowerReached(Number(longestNs));
  let evidence: Block | undefined;
  for (const block of all) {
    if (Number(block.endNs - process.startNs) < thresholdNs) continue;
    if (evidence === undefined || isEarlier(block, evidence)) evidence = block;
  }
  return evidence;
}

/** How the process's ticks become time. `evidence` counts only when the process does not say. */
export function calibrate(
  process: ProcessInfo,
  evidence: CalibrationEvidence | undefined,
): TickCalibration {
  const { startTicks, startNs, tscFrequencyHz } = process;
  if (tscFrequencyHz > 0n) return { startTicks, startNs, frequencyHz: Number(tscFrequencyHz) };
  return { startTicks, startNs, frequencyHz: estimateFrequencyHz(process, evidence) };
}

function estimateFrequencyHz(
  process: ProcessInfo,
  evidence: CalibrationEvidence | undefined,
): number {
  if (evidence === undefined) return NOMINAL_FREQUENCY_HZ;
  const elapsedSeconds = Number(evidence.endNs - process.startNs) / 1e9;
  const frequencyHz = Math.round(Number(evidence.endTicks) / elapsedSeconds);
  return Number.isFinite(frequencyHz) && frequencyHz > 0 ? frequencyHz : NOMINAL_FREQUENCY_HZ;
}

/** The largest `2^k` ms, k any whole number, that is at most `elapsedNs`; doubling and halving are exact. */
function largestPowerReached(elapsedNs: number): number {
  let thresholdNs = 1e6;
  while (thresholdNs * 2 <= elapsedNs) thresholdNs *= 2;
  while (thresholdNs > elapsedNs) thresholdNs /= 2;
  return thresholdNs;
}

function isEarlier(a: CalibrationEvidence, b: CalibrationEvidence): boolean {
  return a.endTicks < b.endTicks || (a.endTicks === b.endTicks && a.blockId < b.blockId);
}
