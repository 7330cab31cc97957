import type { InstanceBuilder } from './instance-builder.ts';

/** A view instance to bring up to date. */
export interface BuildRequest {
  readonly viewSet: string;
  readonly instance: string;
}

/** What consumers and routes need of the builder. */
export type InstanceBuilds = Pick<InstanceBuilder, 'build'>;
