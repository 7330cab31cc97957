/**
 * Brings one view instance up to date: look, claim, plan, build what is missing or stale, commit segment
 * by segment. A conflict with another writer drops the work of that segment and plans again.
 */

import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { type InstancePlan, planLayout, type ViewSet } from '@tracelake/lakehouse';
import { MaterializerError } from '../materializer-error.ts';
import { withBuildClaim } from './build-claim.ts';
import type { BuildDependencies } from './build-dependencies.ts';
import type { BuildReport } from './build-report.ts';
import { BuildTally } from './build-tally.ts';
import type { BuildRequest, InstanceBuilds } from './instance-builds.ts';
import { type InstanceLook, lookAtInstance } from './instance-look.ts';
import { executePlan } from './plan-execution.ts';

/** Commits lost to other writers before a build gives up for now. */
const ATTEMPTS = 8;

/** Reasons are for people; past this many the older ones are left out. */
const REJECTED_LISTED_MAX = 10_000;

interface Look extends InstanceLook {
  readonly plan: InstancePlan;
  readonly signal: AbortSignal;
}

/** Safe to call at the same time for the same instance, here and in other replicas: it is built once. */
export class InstanceBuilder implements InstanceBuilds {
  readonly #deps: BuildDependencies;

  constructor(deps: BuildDependencies) {
    this.#deps = deps;
  }

  /**
   * Resolves once every block that was wanted at the call is covered by committed partitions.
   *
   * Errors: `lakehouse.unknown-view`, `lakehouse.bad-instance`, `materializer.unknown-instance`; retryable:
   * `materializer.conflict`, `materializer.claim-timeout`, storage's; the signal's reason.
   */
  async build(request: BuildRequest, callerSignal: AbortSignal): Promise<BuildReport> {
    const { registry, metrics, settings } = this.#deps;
    const { pipeline, ...target } = request;
    if (pipeline !== undefined) {
      const own = new InstanceBuilder({ ...this.#deps, settings: { ...settings, ...pipeline } });
      return own.build(target, callerSignal);
    }
    const { viewSet, schemaHash } = request;
    const view =
      schemaHash === undefined ? registry.get(viewSet) : registry.getVersion(viewSet, schemaHash);
    const instance = registry.checkInstance(viewSet, request.instance);
    const signal = AbortSignal.any([callerSignal, AbortSignal.timeout(settings.buildTimeoutMs)]);
    const startMs = performance.now();
    metrics.buildsInFlight.inc();
    try {
      const report = await this.#build(view, instance, signal);
      metrics.builds.inc({ view: viewSet, outcome: report.decision });
      metrics.buildMs.observe({ view: viewSet }, performance.now() - startMs);
      return report;
    } catch (error) {
      metrics.builds.inc({ view: viewSet, outcome: 'failed' });
      throw error;
    } finally {
      metrics.buildsInFlight.dec();
    }
  }

  async #build(view: ViewSet, instance: string, signal: AbortSignal): Promise<BuildReport> {
    const { catalog, settings, logger } = this.#deps;
    const first = await this.#look(view, instance, signal);
    if (first.plan.decision === 'current') {
      return await this.#reportCurrent(view, instance, first, new BuildTally());
    }
    const claim = {
      catalog,
      viewSet: view.name,
      instance,
      ttlMs: settings.claimMs,
      logger,
      signal,
    };
    return await withBuildClaim(claim, (claimSignal) =>
      this.#buildUnderClaim(view, instance, claimSignal),
    );
  }

  async #buildUnderClaim(
    view: ViewSet,
    instance: string,
    signal: AbortSignal,
  ): Promise<BuildReport> {
    const tally = new BuildTally();
    for (let attempt = 1; attempt <= ATTEMPTS; ) {
      const look = await this.#look(view, instance, signal);
      if (look.plan.decision === 'current') {
        const report = await this.#reportCurrent(view, instance, look, tally);
        return tally.isEmpty ? report : { ...report, decision: 'written' };
      }
      const { schemaHash, context } = look;
      const target = { view, instance, schemaHash, context };
      const outcome = await executePlan({ ...target, plan: look.plan, signal }, this.#deps);
      tally.add(outcome);
      if (outcome.decision === 'committed') {
        // What the plan left is the next one's.
        if (look.plan.isPartial) continue;
        return {
          decision: 'written',
          ...(await this.#reportContent(view, look, outcome.sourceHashes, tally)),
        };
      }
      this.#deps.metrics.commitConflicts.inc({ view: view.name });
      const facts = { view: view.name, instance, attempt };
      this.#deps.logger.info('commit lost to another writer', facts);
      await sleep(Math.random() * 50 * attempt, undefined, { signal });
      attempt += 1;
    }
    throw new MaterializerError(
      'materializer.conflict',
      'other writers kept changing the instance',
      {
        retryable: true,
        details: { viewSet: view.name, instance },
      },
    );
  }

  async #look(view: ViewSet, instance: string, signal: AbortSignal): Promise<Look> {
    const look = await lookAtInstance(view, instance, this.#deps, signal);
    return { ...look, plan: planLayout(look.layout), signal };
  }

  async #reportCurrent(
    view: ViewSet,
    instance: string,
    look: Look,
    tally: BuildTally,
  ): Promise<BuildReport> {
    const { partitions } = look.snapshot;
    const partitionCount = partitions.length;
    const blockCount = partitions.reduce((sum, one) => sum + one.blockCount, 0);
    this.#deps.metrics.partitionsKept.inc({ view: view.name }, partitionCount);
    const facts = { view: view.name, instance, partitionCount, blockCount };
    this.#deps.logger.info('partition up to date', facts);
    const sourceHashes = partitions.map(({ partition }) => partition.sourceHash);
    return { decision: 'current', ...(await this.#reportContent(view, look, sourceHashes, tally)) };
  }

  async #reportContent(
    view: ViewSet,
    { context, signal }: Look,
    sourceHashes: readonly string[],
    tally: BuildTally,
  ): Promise<Omit<BuildReport, 'decision'>> {
    const { catalog } = this.#deps;
    const streamIds = [...context.streams.keys()];
    const rejectedBy = { viewSet: view.name, streamIds, limit: REJECTED_LISTED_MAX };
    return {
      processId: context.process.processId,
      partitions: sourceHashes.length,
      sourceHash: instanceHashOf(sourceHashes),
      rejected: await catalog.listRejectedOf(rejectedBy, signal),
      ...tally.counts(),
    };
  }
}

/** One name for the content of an instance: over the source hashes of its partitions, in any order. */
function instanceHashOf(sourceHashes: readonly string[]): string {
  return createHash('sha256').update(sourceHashes.toSorted().join('\n')).digest('hex');
}
