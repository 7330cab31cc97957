/** Runs runbook pages: the fault, the commands in order, what they must print, and what must be so afterwards. */

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { promisify } from 'node:util';
import { waitUntilReady } from './readiness.ts';
import { RunbookLab, SERVICES } from './runbook-lab.ts';
import { parseRunbookPage, type RunbookPage, type StepBlock } from './runbook-page.ts';
import { CannotArrange, type Scenario } from './runbook-scenarios/scenario.ts';
import { arrangePage, commonStep, PAGES_WITH_OWN_SYSTEM } from './runbook-scenarios.ts';

export const RUNBOOK_DIRECTORY = join(import.meta.dirname, '../../../deploy/runbooks');

/** By file name, without the index. */
export function readRunbooks(): Map<string, RunbookPage> {
  const files = readdirSync(RUNBOOK_DIRECTORY).filter((file) => file !== 'README.md');
  return new Map(files.map((file) => [file, readPage(join(RUNBOOK_DIRECTORY, file))]));
}

/** Those that `TRACELAKE_TEST_RUNBOOKS` names, or all of them; without it the quick ones. */
export function choosePages(
  pages: ReadonlyMap<string, RunbookPage>,
  quick: readonly string[],
): Map<string, RunbookPage> {
  const only = process.env.TRACELAKE_TEST_RUNBOOKS;
  const isChosen = (file: string) =>
    only === undefined ? quick.includes(file) : only === 'all' || only.includes(file);
  return new Map([...pages].filter(([file]) => isChosen(file)));
}

/** Runs pages one after the other; those that leave the system as it was share one. */
export class RunbookRunner implements AsyncDisposable {
  /** Why no page can be run here. */
  readonly missing: string | undefined;
  #shared: RunbookLab | undefined;

  private constructor(missing: string | undefined) {
    this.missing = missing;
  }

  static async create(): Promise<RunbookRunner> {
    return new RunbookRunner(await findMissingTool(['bash', 'curl']));
  }

  /** Reports the page as skipped, with the reason, where its fault cannot be made. */
  async test(context: TestContext, file: string, page: RunbookPage): Promise<void> {
    try {
      await this.#run(file, page);
    } catch (error) {
      if (!(error instanceof CannotArrange)) throw error;
      context.skip(error.message);
    }
  }

  async #run(file: string, page: RunbookPage): Promise<void> {
    const startMs = performance.now();
    if (PAGES_WITH_OWN_SYSTEM.has(file)) {
      await using lab = await RunbookLab.open();
      await runPage(file, page, lab);
    } else {
      this.#shared ??= await RunbookLab.open();
      try {
        await runPage(file, page, this.#shared);
      } catch (error) {
        // What the page left half done is no concern of the next one.
        await this[Symbol.asyncDispose]();
        throw error;
      }
    }
    console.log(`${file}: ${((performance.now() - startMs) / 1000).toFixed(1)} s`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#shared?.[Symbol.asyncDispose]();
    this.#shared = undefined;
  }
}

export function readPage(file: string): RunbookPage {
  return parseRunbookPage(readFileSync(file, 'utf8'));
}

async function runPage(file: string, page: RunbookPage, lab: RunbookLab): Promise<void> {
  const { processId } = await lab.sendProcess();
  const before = await lab.export(processId);
  const scenario = await arrangePage(file, lab);
  for (const block of page.blocks) {
    if (block.kind === 'run') await lab.run(block);
    else await doStep(block, scenario, lab);
  }
  await scenario.claim?.();
  for (const name of SERVICES) await waitUntilReady(lab.service(name).url, 20_000);
  assert.equal((await lab.export(processId)).sha256, before.sha256, 'the trace is as it was');
  const later = await lab.sendProcess();
  assert.ok((await lab.export(later.processId)).bytes.length > 1000, 'new telemetry is taken');
}

async function doStep({ name, line }: StepBlock, scenario: Scenario, lab: RunbookLab) {
  const action = scenario.steps?.[name] ?? commonStep(name, lab);
  assert.ok(action !== undefined, `line ${line}: nobody knows how to "${name}"`);
  await action();
}

async function findMissingTool(tools: readonly string[]): Promise<string | undefined> {
  for (const tool of tools) {
    const found = await promisify(execFile)(tool, ['--version']).catch(() => undefined);
    if (found === undefined) return `there is no ${tool} on this machine`;
  }
  return undefined;
}
