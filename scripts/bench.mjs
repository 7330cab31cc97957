/** `npm run bench [-- NAME... OPTIONS...]`: see `run-benches.ts`, which runs with the pinned Node. */
import path from 'node:path';
import { ensureSetUp, rootDir, runForeground, runScript } from './set-up.mjs';

await runScript(async () => {
  const { node } = await ensureSetUp();
  const main = path.join(rootDir, 'scripts/run-benches.ts');
  return await runForeground(node, [main, ...process.argv.slice(2)]);
});
