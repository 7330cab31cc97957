/**
 * What lanes cost and what they give: thread spans from blocks to committed partitions, by one lane beside the same
 * builder called directly, and by two lanes on as many CPU tokens as there are cores beside two independent threads
 * that only spin. The same for 1 to 16 lanes on paper, from the measured part that goes on one at a time.
 * `--spans N` of each process (default 1,400,000 in six blocks of 2.9 MB), `--rounds N` (default and least 5). What should
 * not differ is compared on two blocks, in six times as many rounds.
 */

import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { type BenchFigure, reportBench, seededRandom } from '@tracelake/test-kit';
import { letHeapsGrow } from '../src/heap-growth.ts';
import { type CpuAndWall, confineTo, measure, table } from './lane-figures.ts';
import { amdahlSpeedup, simulatedSpeedup } from './lane-model.ts';
import { type LaneBench, openLaneBench } from './lane-rig.ts';
import { openSpinners } from './spinners.ts';

const { values } = parseArgs({
  options: {
    spans: { type: 'string', default: '1400000' },
    rounds: { type: 'string', default: '5' },
  },
  strict: false,
});
letHeapsGrow();
const cores = availableParallelism();
const rounds = Math.max(5, Number(values.rounds));

await using bench = await openLaneBench({
  spanCount: Number(values.spans),
  smallSpanCount: 460_000,
  cpuTokens: cores,
});
await using spinners = await openSpinners(2);

interface Work {
  /** The stages of one lane overlap, so one alone is more than a core's work: this keeps it to one. */
  readonly onOneCore?: boolean;
  readonly run: (bench: LaneBench) => Promise<void>;
}

const WORK = {
  'small, direct': { run: (rig) => rig.buildDirectly() },
  'small, one lane': { run: (rig) => rig.buildInOneLane() },
  'one lane': { run: (rig) => rig.buildInLanes(1) },
  'one lane on one core': { onOneCore: true, run: (rig) => rig.buildInLanes(1) },
  'two lanes': { run: (rig) => rig.buildInLanes(2) },
  'one spinner': { run: () => spinners.spin(1, 'registers') },
  'two spinners': { run: () => spinners.spin(2, 'registers') },
  'one reference loop': { run: () => spinners.spin(1, 'reference loop') },
  'two reference loops': { run: () => spinners.spin(2, 'reference loop') },
} as const satisfies Record<string, Work>;
type Name = keyof typeof WORK;
const names = Object.keys(WORK) as Name[];

const random = seededRandom(1);
// A lane's queries and commits are work too: beside a lane on one core the database has no core of its own.
const pids = [process.pid, ...(await bench.databasePids())];
const canConfine = confineTo(cores, pids);
const samples = new Map<Name, CpuAndWall[]>(names.map((name) => [name, []]));
// Code is compiled and files are in the page cache before anything counts.
for (const name of names) await runOnce(name);
await runRounds(6 * rounds, names.slice(0, 2));
await runRounds(rounds, names.slice(2));

/** In each round everything once, in any order: what runs before leaves its mark. */
async function runRounds(count: number, compared: readonly Name[]): Promise<void> {
  for (let round = 0; round < count; round++) {
    for (const name of random.shuffle([...compared])) samples.get(name)?.push(await runOnce(name));
  }
}

async function runOnce(name: Name): Promise<CpuAndWall> {
  const { onOneCore, run }: Work = WORK[name];
  await bench.reset();
  globalThis.gc?.();
  if (onOneCore === true) confineTo(1, pids);
  try {
    return await measure(() => run(bench));
  } finally {
    if (onOneCore === true) confineTo(cores, pids);
  }
}

/** Least of all rounds: what else the machine does only ever adds. */
function best(name: Name): CpuAndWall {
  const all = samples.get(name) ?? [];
  const least = (figure: keyof CpuAndWall) => Math.min(...all.map((sample) => sample[figure]));
  return { cpuMs: least('cpuMs'), wallMs: least('wallMs'), mainMs: least('mainMs') };
}

/** Of what was measured in the same round, so that what the machine did besides is the same for both. */
function medianRatio(over: Name, under: Name, figure: 'cpuMs' | 'wallMs'): number {
  const below = samples.get(under) ?? [];
  const ratios = (samples.get(over) ?? []).map(
    (sample, round) => sample[figure] / (below[round]?.[figure] ?? Number.NaN),
  );
  return ratios.sort((first, second) => first - second)[ratios.length >> 1] ?? Number.NaN;
}

const one = best('one lane');
const confined = best('one lane on one core');
const two = best('two lanes');
const spinRatio = (2 * best('one spinner').wallMs) / best('two spinners').wallMs;
const loopRatio = (2 * best('one reference loop').wallMs) / best('two reference loops').wallMs;
const laneRatio = (2 * confined.wallMs) / two.wallMs;
table(
  `best of ${rounds} rounds, ${cores} cores, ${cores} CPU tokens`,
  names.map((name) => ({ work: name, ...best(name), cores: best(name).cpuMs / best(name).wallMs })),
);
if (!canConfine) console.log('taskset is missing, so one lane has not been kept to one core.');
if (spinRatio < 1.8) {
  const reached = spinRatio.toFixed(2);
  console.log(
    `Two threads that only spin reach ${reached} times one: this machine cannot show it.`,
  );
}

/** What runs on the main thread goes on one at a time, however many lanes and tokens there are. */
const serialFraction = Math.min(1, confined.mainMs / confined.cpuMs);
const onPaper = (lanes: number, tokens: number) =>
  simulatedSpeedup({ serialFraction, lanes, tokens });
/** A core does the work of one lane in its CPU time: waits for disk and database are left out. */
const onPaperMs = (lanes: number) => (lanes * confined.cpuMs) / onPaper(lanes, cores);
table(
  `speedup over one lane on one core, on paper; serial fraction ${serialFraction.toFixed(3)}, a core a token`,
  Array.from({ length: 16 }, (_, index) => {
    const lanes = index + 1;
    const paperMs = onPaperMs(lanes);
    const measuredMs = lanes === 1 ? confined.wallMs : lanes === 2 ? two.wallMs : undefined;
    return {
      lanes,
      [`Amdahl, ${cores} tokens`]: amdahlSpeedup({ serialFraction, lanes, tokens: cores }),
      'Amdahl, 16 tokens': amdahlSpeedup({ serialFraction, lanes, tokens: 16 }),
      [`simulated, ${cores} tokens`]: onPaper(lanes, cores),
      'simulated, 4 tokens': onPaper(lanes, 4),
      'simulated, 16 tokens': onPaper(lanes, 16),
      'simulated, ms': paperMs,
      'measured, ms': measuredMs,
      'error, %': measuredMs && 100 * (paperMs / measuredMs - 1),
    };
  }),
);

reportBench([
  ratio(
    'lanes: one lane to direct, CPU',
    medianRatio('small, direct', 'small, one lane', 'cpuMs'),
    0.98,
  ),
  ratio(
    'lanes: one lane to direct, wall',
    medianRatio('small, direct', 'small, one lane', 'wallMs'),
    0.98,
  ),
  ratio('lanes: two spinners to one', spinRatio, 1.8),
  ratio('lanes: two lanes to one on one core', laneRatio),
  ratio('lanes: two lanes to one, of the spinners', laneRatio / spinRatio, 0.92),
  ratio('lanes: two reference loops to one', loopRatio),
  ratio('lanes: two lanes to one, of the reference loops', laneRatio / loopRatio),
  ratio('lanes: two lanes to one on all cores', (2 * one.wallMs) / two.wallMs),
  // No more than this can be, since one lane alone uses more than one core.
  ratio('lanes: bound of the same', (cores * one.wallMs) / one.cpuMs),
  ratio('lanes: CPU of two lanes to twice one', two.cpuMs / (2 * one.cpuMs), undefined, 'lower'),
  ratio('lanes: serial fraction', serialFraction, undefined, 'lower'),
  ratio('lanes: time on paper to measured, one lane', onPaperMs(1) / confined.wallMs),
  ratio('lanes: time on paper to measured, two lanes', onPaperMs(2) / two.wallMs),
]);

function ratio(
  name: string,
  value: number,
  target?: number,
  better: BenchFigure['better'] = 'higher',
): BenchFigure {
  const about = { name, value, unit: 'times', better, scalesWithMachine: false } as const;
  return target === undefined ? about : { ...about, target };
}
