/**
 * `npm run bench [-- NAME... OPTIONS...]`: runs every `bench/*.bench.ts` of the tree one after the other, or
 * those whose path holds each NAME; options and what follows them are handed to every one of them.
 */
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { ensureSetUp, rootDir, runForeground, runScript } from './set-up.mjs';

await runScript(async () => {
  const { node } = await ensureSetUp();
  const { filters, passedOn } = readArguments(process.argv.slice(2));
  const files = findBenches().filter((file) => filters.every((part) => file.includes(part)));
  if (files.length === 0) {
    console.error(`no benchmark matches ${filters.join(' ')}`);
    return 1;
  }
  const failed = [];
  for (const file of files) {
    console.log(`\n== ${file}`);
    const status = await runForeground(node, [
      '--expose-gc',
      path.join(rootDir, file),
      ...passedOn,
    ]);
    if (status === 130) return status;
    if (status !== 0) failed.push(file);
  }
  if (failed.length > 0) console.error(`\nfailed: ${failed.join(', ')}`);
  return failed.length === 0 ? 0 : 1;
});

/** The first arguments choose benchmarks; options and what follows them go to the benchmarks. */
function readArguments(args) {
  const firstOption = args.findIndex((arg) => arg.startsWith('-'));
  const end = firstOption === -1 ? args.length : firstOption;
  return { filters: args.slice(0, end), passedOn: args.slice(end).filter((arg) => arg !== '--') };
}

function findBenches() {
  const projects = ['packages', 'services'].flatMap((parent) =>
    readdirSync(path.join(rootDir, parent)).map((name) => `${parent}/${name}`),
  );
  return [...projects, 'e2e']
    .map((project) => `${project}/bench`)
    .flatMap((dir) => listBenches(dir))
    .toSorted();
}

function listBenches(dir) {
  try {
    const names = readdirSync(path.join(rootDir, dir));
    return names.filter((name) => name.endsWith('.bench.ts')).map((name) => `${dir}/${name}`);
  } catch {
    return [];
  }
}
