#!/usr/bin/env node
/**
 * The `tracelake` command as any Node can start it: runs src/main.ts in this process when this is
 * the pinned Node already, else hands over to the pinned one and passes on signals and its status.
 */
import { spawn } from 'node:child_process';
import { existsSync, realpathSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const packageDir = path.dirname(path.dirname(realpathSync(fileURLToPath(import.meta.url))));
const rootDir = path.dirname(path.dirname(packageDir));
const pinnedNode = path.join(rootDir, 'node_modules/node/bin/node');
const main = path.join(packageDir, 'src/main.ts');

if (!existsSync(pinnedNode)) {
  console.error(
    `tracelake: set-up has not been run in ${rootDir} (its own Node is missing)\n` +
      'Run "npm start" there (set-up and the whole stack) or "npm run setup" (set-up alone).',
  );
  process.exit(1);
} else if (isPinnedNode()) {
  await import(main);
} else {
  handOver();
}

function isPinnedNode() {
  return realpathSync(process.execPath) === realpathSync(pinnedNode);
}

function handOver() {
  const child = spawn(pinnedNode, [main, ...process.argv.slice(2)], { stdio: 'inherit' });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'])
    process.on(signal, () => child.kill(signal));
  child.once('error', (error) => {
    console.error(`tracelake: cannot start ${pinnedNode}: ${error.message}`);
    process.exitCode = 1;
  });
  child.once('exit', (code, signal) => {
    process.exitCode = code ?? (signal === 'SIGINT' ? 130 : 143);
  });
}
