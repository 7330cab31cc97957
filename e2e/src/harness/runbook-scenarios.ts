/**
 * What a test does around each runbook page: causes the fault that the page is for, does the steps that an orchestrator
 * would do, and afterwards looks whether what the page promises is so.
 */

import { type RunbookLab, SERVICES } from './runbook-lab.ts';
import { buildFaults } from './runbook-scenarios/build-faults.ts';
import { dependencyFaults } from './runbook-scenarios/dependency-faults.ts';
import { loadFaults } from './runbook-scenarios/load-faults.ts';
import { operations } from './runbook-scenarios/operations.ts';
import type { Action, Arrange, Scenario } from './runbook-scenarios/scenario.ts';
import { telemetryFaults } from './runbook-scenarios/telemetry-faults.ts';

/** Pages after which a system is not as it was: each has one of its own. */
export const PAGES_WITH_OWN_SYSTEM: ReadonlySet<string> = new Set([
  'disk-filling.md',
  'full-disk.md',
  'migrate-store.md',
  'restore-postgres.md',
  'restore-store.md',
  'rollback.md',
  'rotate-keys.md',
  'scale.md',
  'schema-change.md',
  'upgrade.md',
]);

/** By the page's file. */
export const SCENARIOS: Readonly<Record<string, Arrange>> = {
  ...dependencyFaults,
  ...buildFaults,
  ...telemetryFaults,
  ...loadFaults,
  ...operations,
};

/** Pages that nothing has to be wrong for, and why. */
export const HEALTHY_PAGES: Readonly<Record<string, string>> = {
  'install.md': 'the system of the test has just been installed',
  'user-guide.md': 'it is for users of a system that works',
};

/** Causes the fault of a page. */
export async function arrangePage(file: string, lab: RunbookLab): Promise<Scenario> {
  return (await SCENARIOS[file]?.(lab)) ?? {};
}

/** Steps that mean the same on every page. */
export function commonStep(name: string, lab: RunbookLab): Action | undefined {
  const [, verb, service] = /^(restart|start) (.+)$/.exec(name) ?? [];
  const found = SERVICES.find((candidate) => candidate === service);
  if (found === undefined) return undefined;
  return () => (verb === 'restart' ? lab.restart(found) : lab.start(found));
}
