/** `npm test [-- NAME... --no-e2e --verbose]`: set-up, then every test of the tree with the pinned Node. */
import path from 'node:path';
import { ensureSetUp, pinnedPath, rootDir, runForeground, runScript } from './set-up.mjs';

await runScript(async () => {
  const { node } = await ensureSetUp();
  const main = path.join(rootDir, 'scripts/run-tests.ts');
  return await runForeground(node, [main, ...process.argv.slice(2)], {
    env: { ...process.env, PATH: pinnedPath() },
  });
});
