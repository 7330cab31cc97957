/**
 * Every page of the runbooks, run against a real system: the fault is caused, the commands are run in order as they
 * stand there, what the page expects is asserted, and afterwards nothing that was acknowledged is lost.
 *
 * Without `TRACELAKE_TEST_RUNBOOKS=all` (as `npm run test:runbooks` sets it) a few pages run, one for each kind of fault.
 */

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { parse } from 'yaml';
import { waitUntilReady } from './harness/readiness.ts';
import { RunbookLab, SERVICES } from './harness/runbook-lab.ts';
import {
  parseRunbookPage,
  RUNBOOK_SECTIONS,
  type RunbookPage,
  type StepBlock,
} from './harness/runbook-page.ts';
import {
  arrangePage,
  commonStep,
  PAGES_WITH_OWN_SYSTEM,
  type Scenario,
} from './harness/runbook-scenarios.ts';

const directory = join(import.meta.dirname, '../../deploy/runbooks');
const files = readdirSync(directory).filter((file) => file !== 'README.md');
const pages = new Map(files.map((file) => [file, readPage(join(directory, file))]));
// Its examples are for users; what it says must work as well.
pages.set('user-guide.md', readPage(join(import.meta.dirname, '../../docs/user-guide.md')));
const quick = [
  'user-guide.md',
  'install.md',
  'rebuild-nats.md',
  'poisoned-block.md',
  'service-down.md',
];
const only = process.env.TRACELAKE_TEST_RUNBOOKS;
const chosen =
  only === undefined
    ? quick
    : [...pages.keys()].filter((file) => only === 'all' || only.includes(file));
const missingTool = await findMissingTool(['bash', 'curl']);

test('every page has the five sections in order, something that runs and something that is expected', () => {
  for (const file of files) {
    const page = pages.get(file) ?? assert.fail();
    assert.ok(page.title.length > 0, `${file} has no title`);
    assert.deepEqual(page.sections, RUNBOOK_SECTIONS, file);
    const runs = page.blocks.filter((block) => block.kind === 'run');
    assert.ok(runs.length > 0, `${file} has nothing to run`);
    assert.ok(
      runs.some(({ expect }) => expect !== undefined),
      `${file} expects nothing`,
    );
  }
});

test('every link between pages leads somewhere, and the index names every page', () => {
  const index = readPage(join(directory, 'README.md'));
  for (const file of files) {
    for (const link of pages.get(file)?.links ?? []) {
      assert.ok(files.includes(link), `${file}: ${link}`);
    }
  }
  assert.deepEqual(
    files.filter((file) => !index.links.includes(file)),
    [],
  );
  for (const link of index.links) assert.ok(files.includes(link), `README.md: ${link}`);
});

test('every alert leads to the page that is for it', () => {
  const rules = parse(readFileSync(join(directory, '../alerts/tracelake.rules.yaml'), 'utf8')) as {
    groups: { rules: { alert?: string; annotations?: { runbook_url: string } }[] }[];
  };
  const alerts = rules.groups.flatMap((group) => group.rules).filter(({ alert }) => alert);
  assert.ok(alerts.length > 20, `${alerts.length} alerts`);
  for (const { alert, annotations } of alerts) {
    const file = annotations?.runbook_url.split('/').at(-1) ?? '';
    assert.match(pages.get(file)?.title ?? '', new RegExp(`^${alert}: `), `${alert}: ${file}`);
  }
});

describe('the commands of a page do what it says', { skip: missingTool ?? false }, () => {
  let shared: RunbookLab | undefined;
  after(() => shared?.[Symbol.asyncDispose]());

  for (const file of chosen) {
    test(file, async () => {
      const page = pages.get(file) ?? assert.fail(`there is no ${file}`);
      if (PAGES_WITH_OWN_SYSTEM.has(file)) {
        await using lab = await RunbookLab.open();
        return await runPage(file, page, lab);
      }
      shared ??= await RunbookLab.open();
      try {
        await runPage(file, page, shared);
      } catch (error) {
        // What the page left half done is no concern of the next one.
        await shared[Symbol.asyncDispose]();
        shared = undefined;
        throw error;
      }
    });
  }
});

function readPage(file: string): RunbookPage {
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
