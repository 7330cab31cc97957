/** What becomes of one materialize request: a build, an event for whoever waits, an answer to the bus. */

import type { MaterializeRequested, PartitionEvent } from '@tracelake/bus';
import { AppError, errorMessage } from '@tracelake/domain';
import type { Logger } from '@tracelake/service-kit';
import type { BuildReport } from '../build/build-report.ts';
import type { InstanceBuilds } from '../build/instance-builds.ts';
import { type DeliveryOutcome, outcomeOfFailure } from '../delivery-outcome.ts';

export interface MaterializeHandlerOptions {
  readonly builds: InstanceBuilds;
  /** Tells waiters; a lost event costs them a second, so its failure is only logged. */
  readonly publish: (event: PartitionEvent) => Promise<void>;
  readonly logger: Logger;
  /** Deliveries after which the bus puts the request aside. */
  readonly maxDeliver: number;
}

/** Handles one delivery. Never throws. */
export async function handleMaterializeRequest(
  request: MaterializeRequested,
  delivery: { readonly count: number; readonly signal: AbortSignal },
  options: MaterializeHandlerOptions,
): Promise<DeliveryOutcome> {
  const { viewSet, instance, schemaHash } = request;
  try {
    const target = { viewSet, instance, ...(schemaHash === undefined ? {} : { schemaHash }) };
    const report = await options.builds.build(target, delivery.signal);
    await announce(eventOfReport(request, report), options);
    return 'ack';
  } catch (error) {
    if (delivery.signal.aborted) return { nakDelayMs: 0 };
    const outcome = outcomeOfFailure(error, delivery.count);
    const isFinal = typeof outcome === 'object' && 'deadLetter' in outcome;
    const facts = { view: viewSet, instance, deliveryCount: delivery.count, error };
    options.logger.warn('materialize request failed', { ...facts, willRetry: !isFinal });
    if (isFinal || delivery.count >= options.maxDeliver) {
      await announce(eventOfFailure(request, error), options);
    }
    return outcome;
  }
}

/** The event that tells waiters what a build came to. */
export function eventOfReport(
  { viewSet, instance }: { readonly viewSet: string; readonly instance: string },
  report: BuildReport,
): PartitionEvent {
  return { viewSet, instance, outcome: report.decision, sourceHash: report.sourceHash };
}

function eventOfFailure(
  { viewSet, instance, wantedHash }: MaterializeRequested,
  error: unknown,
): PartitionEvent {
  return {
    viewSet,
    instance,
    outcome: 'failed',
    sourceHash: wantedHash,
    errorCode: error instanceof AppError ? error.code : 'internal',
    errorMessage: errorMessage(error),
  };
}

async function announce(event: PartitionEvent, options: MaterializeHandlerOptions): Promise<void> {
  try {
    await options.publish(event);
  } catch (error) {
    const { viewSet: view, instance, outcome } = event;
    options.logger.warn('partition event not published', { view, instance, outcome, error });
  }
}
