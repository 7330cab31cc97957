/**
 * Runs every test of the tree in phases: without I/O, with real servers, the whole system as processes, the
 * whole system in containers. The last line says how many passed and failed; the exit status is 0 only when
 * none failed.
 *
 * Names on the command line choose files by a part of their path; `--no-e2e` leaves the whole system out.
 */
import { globSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { startPostgres } from '@tracelake/local-servers';
import { type ContainerEngine, ensureContainerEngine } from './container-engine.ts';
import { addCounts, type Counts, runTestFiles, type TestFailure } from './test-phase.ts';

const rootDir = path.dirname(import.meta.dirname);
const wholeRunMs = 50 * 60_000;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { 'no-e2e': { type: 'boolean' }, verbose: { type: 'boolean' } },
});
const abort = new AbortController();
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(name, () => abort.abort(new Error(`interrupted by ${name}`)));
}
const signal = AbortSignal.any([abort.signal, AbortSignal.timeout(wholeRunMs)]);
const startMs = Date.now();
const counts: Counts = { passed: 0, failed: 0, skipped: 0 };
const failures: TestFailure[] = [];
const notes: string[] = [];

const unitTests = findTests('{packages,services,scripts,deploy}/**/*.test.ts').filter(isUnit);
const dbTests = findTests('{packages,services}/**/*.db.test.ts');
const wantsE2e = values['no-e2e'] !== true;
const processTests = wantsE2e ? findTests('e2e/src/**/*.test.ts') : [];
const containerTests = wantsE2e ? findTests('e2e/src/**/*.e2e.ts') : [];

await runPhase('unit', unitTests, 2);
if (dbTests.length + processTests.length > 0) await withPostgres(runServerPhases);
if (containerTests.length > 0) await runContainerPhase();
report();

function findTests(pattern: string): string[] {
  const isChosen = (file: string) =>
    positionals.length === 0 || positionals.some((part) => file.includes(part));
  return globSync(pattern, { cwd: rootDir, exclude: (name) => name.includes('node_modules') })
    .filter(isChosen)
    .toSorted();
}

function isUnit(file: string): boolean {
  return !file.endsWith('.db.test.ts');
}

async function runPhase(name: string, files: readonly string[], concurrency: number) {
  if (files.length === 0 || signal.aborted) return;
  console.log(`\n== ${name}: ${files.length} files`);
  const result = await runTestFiles({
    rootDir,
    files,
    concurrency,
    signal,
    isVerbose: values.verbose === true,
  });
  addCounts(counts, result.counts);
  failures.push(...result.failures);
}

async function runServerPhases(): Promise<void> {
  await runPhase('with real servers', dbTests, 2);
  await runPhase('the whole system as processes', processTests, 1);
}

async function runContainerPhase(): Promise<void> {
  if (signal.aborted) return;
  await using engine = await findEngine();
  Object.assign(process.env, engine?.env);
  await runPhase('the whole system in containers', containerTests, 1);
}

/** One Postgres for all of them; each test makes a database of its own on it. */
async function withPostgres(body: () => Promise<void>): Promise<void> {
  if (signal.aborted || process.env.TRACELAKE_TEST_DATABASE_URL !== undefined) return body();
  const directory = await mkdtemp(path.join(tmpdir(), 'tracelake-tests-'));
  try {
    await using postgres = await startPostgres({
      dataDir: path.join(directory, 'postgres'),
      durable: false,
      searchPath: process.env.PATH ?? '',
      removeWhenOrphaned: [directory],
    });
    console.log(`\nusing ${postgres.description}`);
    process.env.TRACELAKE_TEST_DATABASE_URL = postgres.url;
    await body();
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function findEngine(): Promise<ContainerEngine | undefined> {
  const found = await ensureContainerEngine({
    stateDir: path.join(rootDir, '.tracelake/test-containers'),
    say: (line) => console.log(line),
    signal,
  });
  if (!('missing' in found)) return found;
  notes.push(`no container ran: ${found.missing}`);
  return undefined;
}

function report(): void {
  if (failures.length > 0) console.log('\n== failed');
  for (const { file, name, text } of failures) console.log(`\n${file}\n  ${name}\n${text}`);
  if (signal.aborted) {
    const { reason } = signal;
    const isOverdue = reason instanceof Error && reason.name === 'TimeoutError';
    notes.push(isOverdue ? `stopped after ${wholeRunMs / 60_000} minutes` : String(reason));
    counts.failed = Math.max(counts.failed, 1);
  }
  if (counts.passed + counts.failed + counts.skipped === 0) {
    notes.push(`no test matches ${positionals.join(' ')}`);
    counts.failed = 1;
  }
  console.log(`\n${notes.map((note) => `note: ${note}\n`).join('')}`);
  console.log(`took ${((Date.now() - startMs) / 1000).toFixed(0)} s`);
  const skipped = counts.skipped === 0 ? '' : `, ${counts.skipped} skipped`;
  console.log(`${counts.passed} passed, ${counts.failed} failed${skipped}`);
  process.exitCode = counts.failed === 0 ? 0 : 1;
}
