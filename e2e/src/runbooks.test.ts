/**
 * Every page for an alert and the user guide, run against a real system: the fault is caused, the commands are run in
 * order as they stand there, what the page expects is asserted, and afterwards nothing that was acknowledged is lost.
 *
 * Without `TRACELAKE_TEST_RUNBOOKS=all` (as `npm run test:runbooks` sets it) a few pages run, one for each kind of fault.
 */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { parse } from 'yaml';
import { RUNBOOK_SECTIONS } from './harness/runbook-page.ts';
import {
  choosePages,
  RUNBOOK_DIRECTORY as directory,
  RunbookRunner,
  readPage,
  readRunbooks,
} from './harness/runbook-run.ts';
import { HEALTHY_PAGES, SCENARIOS } from './harness/runbook-scenarios.ts';

const pages = readRunbooks();
const files = [...pages.keys()];
const alertPages = [...pages].filter(([, { title }]) => title.startsWith('Tracelake'));
const userGuide = readPage(join(import.meta.dirname, '../../docs/user-guide.md'));
const quick = [
  ...['announcements-pending.md', 'ingest-overloaded.md', 'query-queue-full.md', 'retention.md'],
  ...['service-down.md', 'user-guide.md'],
];
const runner = await RunbookRunner.create();

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

test('every page runs under the fault or in the situation that it is for, or says why it needs none', () => {
  const arranged = Object.keys(SCENARIOS);
  assert.deepEqual(
    files.filter((file) => arranged.includes(file) === file in HEALTHY_PAGES),
    [],
  );
  assert.deepEqual(
    arranged.filter((file) => !files.includes(file)),
    [],
  );
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

describe('the commands for an alert do what its page says', {
  skip: runner.missing ?? false,
}, () => {
  after(() => runner[Symbol.asyncDispose]());

  // Its examples are for users; what the guide says must work as well.
  const all = new Map([...alertPages, ['user-guide.md', userGuide]]);
  for (const [file, page] of choosePages(all, quick))
    test(file, (context) => runner.test(context, file, page));
});
