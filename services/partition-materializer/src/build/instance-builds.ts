import type { BuildSettings } from './build-dependencies.ts';
import type { BuildReport } from './build-report.ts';

/** A view instance to bring up to date. */
export interface BuildRequest {
  readonly viewSet: string;
  readonly instance: string;
  /** The version of the view to build; absent: the newest. */
  readonly schemaHash?: string;
  /** Another shape of the pipeline than the service's, for this build alone. */
  readonly pipeline?: Partial<Pick<BuildSettings, 'workers' | 'channelDepth'>>;
}

/** What consumers and routes need of the builder. */
export interface InstanceBuilds {
  /** Resolves once what was wanted at the call is built; rejects with the signal's reason when it aborts. */
  build(request: BuildRequest, signal: AbortSignal): Promise<BuildReport>;
}
