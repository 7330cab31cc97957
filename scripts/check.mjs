/**
 * `npm run check`: everything that is checked without running the code. Every check runs, also after one
 * has failed, so that one round shows all there is to mend. `-- --fix` lets Biome mend what it can first.
 */
import { ensureSetUp, pinnedPath, runForeground, runScript } from './set-up.mjs';

const checks = [
  { name: 'format and lint', command: ['biome', 'check', '--error-on-warnings', '.'] },
  {
    name: 'types of packages',
    command: ['turbo', 'run', 'check-types', '--output-logs=errors-only'],
  },
  { name: 'types of scripts', command: ['tsc', '-p', 'scripts'] },
  {
    name: 'import directions',
    command: ['depcruise', '--config', '.dependency-cruiser.cjs', 'packages', 'services', 'e2e'],
  },
  { name: 'dead code', command: ['knip', '--no-config-hints'] },
];

await runScript(async () => {
  await ensureSetUp();
  const env = {
    ...process.env,
    PATH: pinnedPath(),
    TURBO_TELEMETRY_DISABLED: '1',
    TURBO_NO_UPDATE_NOTIFIER: '1',
  };
  const run = ([file, ...args]) => runForeground(file, args, { env });
  if (process.argv.includes('--fix')) await run(['biome', 'check', '--write', '.']);
  const failed = [];
  for (const { name, command } of checks) {
    console.log(`\n== ${name}: ${command.join(' ')}`);
    if ((await run(command)) !== 0) failed.push(name);
  }
  console.log(
    failed.length === 0 ? '\ncheck: all is well' : `\ncheck: failed: ${failed.join(', ')}`,
  );
  return failed.length === 0 ? 0 : 1;
});
