import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { promisify } from 'node:util';

/** Of the C library, where it is glibc. */
const header = (process.report.getReport() as { header: Record<string, unknown> }).header;
const isGlibc = header.glibcVersionRuntime !== undefined;

/** Arrays of 32 MB in all, written and freed, ten times; the page faults of the last five. */
const FAULTS = `
  let faults = 0;
  for (let round = 0; round < 10; round++) {
    if (round === 5) faults = process.resourceUsage().minorPageFault;
    const arrays = Array.from({ length: 4 }, () => new Uint8Array(8 * 2 ** 20).fill(1));
    for (const { buffer } of arrays) buffer.transfer(0);
  }
  console.log(process.resourceUsage().minorPageFault - faults);
`;

async function countFaults(before: string): Promise<number> {
  const args = ['--input-type=module', '--eval', before + FAULTS];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  return Number(stdout);
}

test('arrays that are freed and made again take no new pages', { skip: !isGlibc }, async () => {
  const module = JSON.stringify(new URL('./freed-memory.ts', import.meta.url));
  const kept = await countFaults(`
    import { keepFreedMemory } from ${module};
    keepFreedMemory();
  `);
  assert(kept < 5000, `${kept} page faults of 40,960 when all pages are new each time`);
});
