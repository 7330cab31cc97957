/**
 * `npm run bench [-- NAME... OPTIONS...]`: runs every `bench/*.bench.ts` of the tree one after the other, or
 * those whose path holds each NAME; unknown options and what follows them are handed to every one of them.
 *
 * `--check` compares the figures with the committed baseline and fails when one is worse by more than the noise
 * band, after measuring once more; `--record` writes them to the baseline.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { globSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import {
  bestOf,
  type Comparison,
  compareFigures,
  type Figures,
  hasRegression,
  NOISE_BANDS,
  type ReportedFigure,
} from './bench-comparison.ts';

const rootDir = path.dirname(import.meta.dirname);
const baselinePath = path.join(import.meta.dirname, 'bench-baseline.json');

const { filters, passedOn, check, record } = readArguments(process.argv.slice(2));
const files = findBenches().filter((file) => filters.every((part) => file.includes(part)));
const failed: string[] = [];
if (files.length === 0) {
  console.error(`no benchmark matches ${filters.join(' ')}`);
  process.exitCode = 1;
} else {
  const figures = await measure(files);
  const isWorse = check && (await compareWithBaseline(figures));
  if (record) await recordBaseline(figures);
  if (failed.length > 0) console.error(`\nfailed: ${failed.join(', ')}`);
  process.exitCode = failed.length > 0 || isWorse ? 1 : 0;
}

/** The first arguments choose benchmarks; options and what follows them go to the benchmarks. */
function readArguments(args: readonly string[]) {
  const own = new Set(['--check', '--record', '--']);
  const others = args.filter((arg) => !own.has(arg));
  const firstOption = others.findIndex((arg) => arg.startsWith('-'));
  const end = firstOption === -1 ? others.length : firstOption;
  return {
    filters: others.slice(0, end),
    passedOn: others.slice(end),
    check: args.includes('--check'),
    record: args.includes('--record'),
  };
}

function findBenches(): string[] {
  const options = { cwd: rootDir, exclude: (name: string) => name.includes('node_modules') };
  return globSync('{packages/*,services/*,e2e}/bench/*.bench.ts', options).toSorted();
}

async function measure(benches: readonly string[]): Promise<Figures> {
  const reportDir = await mkdtemp(path.join(tmpdir(), 'tracelake-bench-'));
  try {
    const figures: Record<string, ReportedFigure> = {};
    for (const [index, file] of benches.entries()) {
      console.log(`\n== ${file}`);
      const reportPath = path.join(reportDir, `${index}.jsonl`);
      if (!(await runBench(file, reportPath))) failed.push(file);
      Object.assign(figures, await readReport(file, reportPath));
    }
    return figures;
  } finally {
    await rm(reportDir, { recursive: true, force: true });
  }
}

async function runBench(file: string, reportPath: string): Promise<boolean> {
  const reporting = check || record ? { TRACELAKE_BENCH_REPORT: reportPath } : {};
  const bench = spawn(process.execPath, ['--expose-gc', path.join(rootDir, file), ...passedOn], {
    stdio: 'inherit',
    env: { ...process.env, ...reporting },
  });
  const [status] = await once(bench, 'exit');
  return status === 0;
}

async function readReport(file: string, reportPath: string): Promise<Figures> {
  const text = await readFile(reportPath, 'utf8').catch(() => '');
  const lines = text.split('\n').filter((line) => line !== '');
  const figures = lines.map((line) => JSON.parse(line) as ReportedFigure);
  return Object.fromEntries(figures.map((figure) => [`${file}: ${figure.name}`, figure]));
}

async function readBaseline(): Promise<Figures> {
  return JSON.parse(await readFile(baselinePath, 'utf8')) as Figures;
}

/** True when a figure is worse than the baseline, and was so again when measured once more. */
async function compareWithBaseline(figures: Figures): Promise<boolean> {
  const baseline = await readBaseline();
  const first = compareFigures(figures, baseline, files);
  if (!hasRegression(first)) {
    printComparison(first);
    return false;
  }
  const doubtful = files.filter((file) =>
    hasRegression(first.filter(({ figure }) => figure.startsWith(`${file}: `))),
  );
  console.log(`\nmeasured once more, because a figure is outside its band: ${doubtful.join(', ')}`);
  const best = bestOf(figures, await measure(doubtful));
  const second = compareFigures(best, baseline, files);
  printComparison(second);
  return hasRegression(second);
}

function printComparison(comparisons: readonly Comparison[]): void {
  console.log(
    `\nagainst the baseline, by ratio to the reference loop of the same run (above 1 is better; ` +
      `noise band ${NOISE_BANDS.time * 100} % for times, ${NOISE_BANDS.count * 100} % for counts and sizes):`,
  );
  console.table(
    comparisons.map(({ figure, value, baseline, unit, ratio, verdict }) => ({
      figure: figure.replace('/bench/', ' ').replace('.bench.ts', ''),
      value: rounded(value),
      baseline: rounded(baseline),
      unit,
      ratio: rounded(ratio),
      verdict,
    })),
  );
}

function rounded(value: number | undefined): number | string {
  return value === undefined ? '' : Number(value.toPrecision(3));
}

async function recordBaseline(figures: Figures): Promise<void> {
  const known = await readBaseline().catch(() => ({}));
  const present = new Set(findBenches());
  const merged = Object.entries({ ...known, ...figures })
    .filter(([name]) => present.has(name.slice(0, name.indexOf(': '))))
    .toSorted(([first], [second]) => (first < second ? -1 : 1));
  await writeFile(baselinePath, `${JSON.stringify(Object.fromEntries(merged), undefined, 2)}\n`);
  console.log(`\nrecorded ${Object.keys(figures).length} figures`);
}
