/**
 * Every page for an operation, as `runbooks.test.ts` runs those for alerts: installing, upgrading, restoring, moving.
 */

import { after, describe, test } from 'node:test';
import { choosePages, RunbookRunner, readRunbooks } from './harness/runbook-run.ts';

const operations = [...readRunbooks()].filter(([, { title }]) => !title.startsWith('Tracelake'));
const quick = ['install.md', 'poisoned-block.md', 'rebuild-nats.md'];
const runner = await RunbookRunner.create();

describe('the commands for an operation do what its page says', {
  skip: runner.missing ?? false,
}, () => {
  after(() => runner[Symbol.asyncDispose]());

  for (const [file, page] of choosePages(new Map(operations), quick)) {
    test(file, (context) => runner.test(context, file, page));
  }
});
