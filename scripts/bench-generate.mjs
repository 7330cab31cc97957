/** `npm run bench:generate [-- options]`: makes a process of any size to measure with; see `--help`. */
import path from 'node:path';
import { ensureSetUp, rootDir, runForeground, runScript } from './set-up.mjs';

await runScript(async () => {
  const { node } = await ensureSetUp();
  const main = path.join(rootDir, 'scripts/generate-process.ts');
  return await runForeground(node, [main, ...process.argv.slice(2)], { cwd: process.cwd() });
});
