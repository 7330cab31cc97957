/** `node scripts/setup.mjs`: set-up alone. */
import { ensureSetUp, runScript } from './set-up.mjs';

await runScript(async () => {
  const { node, installed } = await ensureSetUp();
  console.error(installed ? `set-up: ready, Node at ${node}` : 'set-up: nothing to do');
  return 0;
});
