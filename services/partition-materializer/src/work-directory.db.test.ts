import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { makeWorkDirectory } from './work-directory.ts';

test('what a killed process left is removed, what a living one works with stays', async () => {
  const parent = await mkdtemp(join(tmpdir(), 'tracelake-work-test-'));
  try {
    // Process numbers end at 2^22 on Linux, so this one never was.
    const dead = `tracelake-materializer-${2 ** 22 + 1}-abc`;
    const living = `tracelake-materializer-${process.ppid}-abc`;
    for (const name of [dead, living, 'something-else']) await mkdir(join(parent, name));
    await writeFile(join(parent, dead, 'half.parquet'), 'x');
    {
      await using work = await makeWorkDirectory(parent);
      const names = await readdir(parent);
      assert.equal(names.length, 3);
      assert.ok(names.includes(living) && names.some((name) => work.path.endsWith(name)));
    }
    assert.deepEqual((await readdir(parent)).sort(), ['something-else', living]);
  } finally {
    await rm(parent, { recursive: true, force: true });
  }
});
