/** `npm run bench:flame -- --out FILE.svg BENCH [OPTIONS]`: a flame graph of a benchmark; see `flame-graph.ts`. */
import path from 'node:path';
import { ensureSetUp, rootDir, runForeground, runScript } from './set-up.mjs';

await runScript(async () => {
  const { node } = await ensureSetUp();
  const main = path.join(rootDir, 'scripts/flame-graph.ts');
  return await runForeground(node, [main, ...process.argv.slice(2)], { cwd: process.cwd() });
});
