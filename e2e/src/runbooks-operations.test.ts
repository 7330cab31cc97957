/**
 * Every page for an operation, as `runbooks.test.ts` runs those for alerts: installing, upgrading, restoring, moving.
 */

import { choosePages, readRunbooks, testPages } from './harness/runbook-run.ts';

const operations = [...readRunbooks()].filter(([, { title }]) => !title.startsWith('Tracelake'));

await testPages(
  choosePages(new Map(operations), ['install.md', 'poisoned-block.md', 'rebuild-nats.md']),
);
