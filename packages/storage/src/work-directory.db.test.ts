import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { makeWorkDirectory } from './work-directory.ts';

const MODULE = new URL('./work-directory.ts', import.meta.url).href;

/** Another process with a directory of its own and a file in it. */
async function startOther(parent: string) {
  const script = `
    import { writeFileSync } from 'node:fs';
    const { makeWorkDirectory } = await import(${JSON.stringify(MODULE)});
    const { path } = await makeWorkDirectory(${JSON.stringify(parent)}, 'sample');
    writeFileSync(path + '/half.parquet', 'x');
    console.log(path);
    setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = await once(child.stdout, 'data');
  const path = String(line).trim();
  return {
    path,
    async kill() {
      child.kill('SIGKILL');
      await once(child, 'exit');
    },
  };
}

test('what a killed process left is removed, what a living one works with stays', async () => {
  const root = await mkdtemp(join(tmpdir(), 'tracelake-work-test-'));
  const parent = join(root, 'made', 'when needed');
  try {
    const other = await startOther(parent);
    await mkdir(join(parent, 'something-else'));
    await mkdir(join(parent, 'tracelake-other-1-2-abc'));
    {
      await using mine = await makeWorkDirectory(parent, 'sample');
      await using second = await makeWorkDirectory(parent, 'sample');
      for (const { path } of [other, mine, second]) assert.ok((await stat(path)).isDirectory());
      await other.kill();
    }
    assert.equal((await readdir(other.path)).length, 1, 'nobody has started since');
    {
      await using next = await makeWorkDirectory(parent, 'sample');
      assert.ok((await stat(next.path)).isDirectory());
    }
    assert.deepEqual(await readdir(parent), ['something-else', 'tracelake-other-1-2-abc']);
  } finally {
    await rm(root, { recursive: true, force: true });
  }
});
