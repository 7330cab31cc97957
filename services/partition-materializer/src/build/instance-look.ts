import {
  calibrate,
  chooseCalibrationEvidence,
  type LayoutRequest,
  type RunContext,
  schemaHashOf,
  type ViewSet,
} from '@tracelake/lakehouse';
import type { InstanceSnapshot } from '@tracelake/storage';
import { MaterializerError } from '../materializer-error.ts';
import type { BuildDependencies } from './build-dependencies.ts';

/** One moment of a view instance, with what its rows depend on besides blocks. */
export interface InstanceLook {
  readonly schemaHash: string;
  readonly snapshot: InstanceSnapshot;
  readonly context: RunContext;
  readonly layout: LayoutRequest;
}

/** Errors: `materializer.unknown-instance`, storage's. */
export async function lookAtInstance(
  view: ViewSet,
  instance: string,
  { catalog }: Pick<BuildDependencies, 'catalog'>,
  signal: AbortSignal,
): Promise<InstanceLook> {
  const schemaHash = schemaHashOf(view);
  const snapshot = await catalog.loadSnapshot({ view, instance, schemaHash }, signal);
  const { process, streams, layout } = snapshot;
  if (process === undefined || layout === undefined) {
    throw new MaterializerError(
      'materializer.unknown-instance',
      `no ${view.instanceRule} ${instance} has been inserted`,
      { details: { viewSet: view.name, instance } },
    );
  }
  const evidence = chooseCalibrationEvidence(process, snapshot.calibrationCandidates);
  const context = { process, streams, calibration: calibrate(process, evidence) };
  return { schemaHash, snapshot, context, layout };
}
