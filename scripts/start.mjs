/** `npm start [-- options]`: set-up, then `tracelake up` with the pinned Node. */
import path from 'node:path';
import { ensureSetUp, rootDir, runForeground, runScript } from './set-up.mjs';

await runScript(async () => {
  const { node } = await ensureSetUp();
  const main = path.join(rootDir, 'packages/cli/src/main.ts');
  return await runForeground(node, [main, 'up', ...process.argv.slice(2)], { cwd: process.cwd() });
});
