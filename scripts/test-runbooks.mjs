/** `npm run test:runbooks [-- --verbose]`: runs the commands of every page of deploy/runbooks on a real system. */
import path from 'node:path';
import { ensureSetUp, rootDir, runForeground, runScript } from './set-up.mjs';

await runScript(async () => {
  const { node } = await ensureSetUp();
  const main = path.join(rootDir, 'scripts/run-tests.ts');
  const env = { ...process.env, TRACELAKE_TEST_RUNBOOKS: 'all' };
  return await runForeground(node, [main, 'e2e/src/runbooks', ...process.argv.slice(2)], { env });
});
