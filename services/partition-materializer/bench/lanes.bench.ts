/**
 * What lanes cost and what they give: thread spans from blocks to committed partitions, by one lane beside the same
 * builder called directly, and by two lanes on as many CPU tokens as there are cores beside two independent threads
 * that only spin. The same for 1 to 16 lanes on paper, from the measured part that goes on one at a time.
 * A machine's speed changes within seconds, so figures are compared with those of the same round, measured right after each
 * other, and what counts is the median of the rounds' ratios. `--spans N` of each process (default 4,200,000 in
 * 18 blocks of 2.9 MB, so that the moment when one lane has ended and the other has not is a small part), `--rounds N`
 * (default 15, least 5). What should not differ is compared on two blocks, in three times as many rounds.
 */

import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { ensureExists } from '@tracelake/domain';
import { type BenchFigure, reportBench, seededRandom } from '@tracelake/test-kit';
import { keepFreedMemory } from '../src/freed-memory.ts';
import { letHeapsGrow } from '../src/heap-growth.ts';
import {
  CoreConfinement,
  type CpuAndWall,
  measure,
  type Quartiles,
  quartilesOf,
  table,
} from './lane-figures.ts';
import { amdahlSpeedup, simulatedSpeedup } from './lane-model.ts';
import { type LaneBench, openLaneBench } from './lane-rig.ts';
import { openSpinners } from './spinners.ts';

const { values } = parseArgs({
  options: {
    spans: { type: 'string', default: '4200000' },
    rounds: { type: 'string', default: '15' },
  },
  strict: false,
});
letHeapsGrow();
keepFreedMemory();
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
  'one lane on one core': { onOneCore: true, run: (rig) => rig.buildInLanes(1) },
  'two lanes': { run: (rig) => rig.buildInLanes(2) },
  'one spinner': { run: () => spinners.spin(1, 'whole core') },
  'two spinners': { run: () => spinners.spin(2, 'whole core') },
  'one chain': { run: () => spinners.spin(1, 'one chain') },
  'two chains': { run: () => spinners.spin(2, 'one chain') },
  'one lane': { run: (rig) => rig.buildInLanes(1) },
  'one reference loop': { run: () => spinners.spin(1, 'reference loop') },
  'two reference loops': { run: () => spinners.spin(2, 'reference loop') },
} as const satisfies Record<string, Work>;
type Name = keyof typeof WORK;
const names = Object.keys(WORK) as Name[];

/** What two spinners must reach of one for a machine to show what two lanes can. */
const SPINNERS_MIN = 1.8;

const WARM_UP_ROUNDS = 4;

const random = seededRandom(1);
// A lane's queries and commits are work too: beside a lane on one core the database has no core of its own.
const pids = [process.pid, ...(await bench.databasePids())];
using confinement = new CoreConfinement(pids);
const canConfine = await confinement.to(cores);
const samples = new Map<Name, CpuAndWall[]>(names.map((name) => [name, []]));
// Code is compiled, on each thread for itself, and files are in the page cache before anything counts.
for (let round = 0; round < WARM_UP_ROUNDS; round++) for (const name of names) await runOnce(name);
await runRounds(3 * rounds, names.slice(0, 2));
// The first four are the promise; the others stand around it.
await runRounds(rounds, names.slice(2, 6), names.slice(6));

/** In each round everything once, each group on its own in any order: what runs before leaves its mark. */
async function runRounds(count: number, ...groups: (readonly Name[])[]): Promise<void> {
  for (let round = 0; round < count; round++) {
    for (const name of groups.flatMap((group) => random.shuffle([...group]))) {
      samples.get(name)?.push(await runOnce(name));
    }
  }
}

async function runOnce(name: Name): Promise<CpuAndWall> {
  const { onOneCore, run }: Work = WORK[name];
  await bench.reset();
  globalThis.gc?.();
  if (onOneCore === true) await confinement.to(1);
  try {
    return await measure(() => run(bench));
  } finally {
    if (onOneCore === true) await confinement.to(cores);
  }
}

/** Of each figure the median of the rounds. */
function median(name: Name): CpuAndWall {
  const all = samples.get(name) ?? [];
  const middle = (figure: keyof CpuAndWall) =>
    quartilesOf(all.map((sample) => sample[figure])).median;
  return {
    cpuMs: middle('cpuMs'),
    wallMs: middle('wallMs'),
    mainMs: middle('mainMs'),
    faults: middle('faults'),
  };
}

type Round = (name: Name) => CpuAndWall;

/** Of what was measured in the same round, so that what the machine did besides is the same for all of it. */
function inEachRound(
  ratioOf: (round: Round) => number,
  ofNames: readonly Name[],
  counts: (round: Round) => boolean = () => true,
): Quartiles {
  return quartilesOf(roundsOf(ofNames).filter(counts).map(ratioOf));
}

function roundsOf(ofNames: readonly Name[]): Round[] {
  const count = Math.min(...ofNames.map((name) => samples.get(name)?.length ?? 0));
  return Array.from(
    { length: count },
    (_, index) => (name) => ensureExists(samples.get(name)?.[index], name),
  );
}

const small = names.slice(0, 2);
const large = names.slice(2);
const twoLanes: (round: Round) => number = (round) =>
  (2 * round('one lane on one core').wallMs) / round('two lanes').wallMs;
const twoSpinners: (round: Round) => number = (round) =>
  (2 * round('one spinner').wallMs) / round('two spinners').wallMs;
/** Elsewhere something else had a core meanwhile, and two lanes could show nothing. */
const hasTwoCores: (round: Round) => boolean = (round) => twoSpinners(round) >= SPINNERS_MIN;
const twoChains: (round: Round) => number = (round) =>
  (2 * round('one chain').wallMs) / round('two chains').wallMs;
const twoLoops: (round: Round) => number = (round) =>
  (2 * round('one reference loop').wallMs) / round('two reference loops').wallMs;
const RATIOS = {
  'one lane to direct, CPU': inEachRound(
    (round) => round('small, direct').cpuMs / round('small, one lane').cpuMs,
    small,
  ),
  'one lane to direct, wall': inEachRound(
    (round) => round('small, direct').wallMs / round('small, one lane').wallMs,
    small,
  ),
  'two spinners to one': inEachRound(twoSpinners, large),
  'two lanes to one on one core': inEachRound(twoLanes, large),
  'two lanes to one, of the spinners': inEachRound(
    (round) => twoLanes(round) / twoSpinners(round),
    large,
    hasTwoCores,
  ),
  'two chains to one': inEachRound(twoChains, large),
  'two lanes to one, of the chains': inEachRound(
    (round) => twoLanes(round) / twoChains(round),
    large,
  ),
  'two reference loops to one': inEachRound(twoLoops, large),
  'two lanes to one, of the reference loops': inEachRound(
    (round) => twoLanes(round) / twoLoops(round),
    large,
  ),
  'two lanes to one on all cores': inEachRound(
    (round) => (2 * round('one lane').wallMs) / round('two lanes').wallMs,
    large,
  ),
  // No more than this can be, since one lane alone uses more than one core.
  'bound of the same': inEachRound(
    (round) => (cores * round('one lane').wallMs) / round('one lane').cpuMs,
    large,
  ),
  'CPU of two lanes to twice one': inEachRound(
    (round) => round('two lanes').cpuMs / (2 * round('one lane on one core').cpuMs),
    large,
  ),
} as const;

const confined = median('one lane on one core');
const two = median('two lanes');
const countOfTwoCores = roundsOf(large).filter(hasTwoCores).length;
table(
  `median of ${rounds} rounds, ${cores} cores, ${cores} CPU tokens`,
  names.map((name) => {
    const figures = median(name);
    return { work: name, ...figures, cores: figures.cpuMs / figures.wallMs };
  }),
);
table(
  'ratios of what was measured in the same round',
  Object.entries(RATIOS).map(([figure, quartiles]) => ({ figure, ...quartiles })),
);
if (!canConfine) console.log('taskset is missing, so one lane has not been kept to one core.');
console.log(
  `Two threads that only spin reached ${SPINNERS_MIN} times one in ${countOfTwoCores} of ${rounds} rounds, which alone count for lanes beside spinners.`,
);
if (countOfTwoCores * 2 < rounds) console.log('In most they did not: this machine cannot show it.');

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
  ratio('one lane to direct, CPU', 0.98),
  ratio('one lane to direct, wall', 0.98),
  ratio('two spinners to one', SPINNERS_MIN),
  ratio('two lanes to one on one core'),
  ratio('two lanes to one, of the spinners', 0.92),
  ratio('two chains to one'),
  ratio('two lanes to one, of the chains'),
  ratio('two reference loops to one'),
  ratio('two lanes to one, of the reference loops'),
  ratio('two lanes to one on all cores'),
  ratio('bound of the same'),
  ratio('CPU of two lanes to twice one', undefined, 'lower'),
  figureOf('serial fraction', serialFraction, undefined, 'lower'),
  figureOf('time on paper to measured, one lane', onPaperMs(1) / confined.wallMs),
  figureOf('time on paper to measured, two lanes', onPaperMs(2) / two.wallMs),
]);

function ratio(
  name: keyof typeof RATIOS,
  target?: number,
  better?: BenchFigure['better'],
): BenchFigure {
  return figureOf(name, RATIOS[name].median, target, better);
}

function figureOf(
  name: string,
  value: number,
  target?: number,
  better: BenchFigure['better'] = 'higher',
): BenchFigure {
  const about = { value, unit: 'times', better, scalesWithMachine: false } as const;
  return { name: `lanes: ${name}`, ...about, ...(target === undefined ? {} : { target }) };
}
