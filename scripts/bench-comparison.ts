/**
 * Figures of a benchmark run beside those of the committed baseline. A rate is divided by the speed of the
 * reference loop measured in the same process and a duration multiplied by it, so that a slower machine, or a
 * busier hour, does not look like a regression.
 */

/** One line of the file that `TRACELAKE_BENCH_REPORT` names; see `reportBench` of the test kit. */
export interface ReportedFigure {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  readonly better: 'higher' | 'lower';
  readonly target?: number;
  readonly scalesWithMachine?: boolean;
  readonly gated?: boolean;
  /** Rounds of the reference loop in a CPU second. */
  readonly reference: number;
}

/** Figures by benchmark and name: `packages/transit/bench/decode.bench.ts: spans decoded`. */
export type Figures = Readonly<Record<string, ReportedFigure>>;

export type Verdict = 'ok' | 'better' | 'WORSE' | 'new' | 'not measured' | 'not gated';

export interface Comparison {
  readonly figure: string;
  readonly value: number | undefined;
  readonly baseline: number | undefined;
  readonly unit: string;
  /** Above 1 is better than the baseline, whichever way the figure points. */
  readonly ratio: number | undefined;
  readonly verdict: Verdict;
}

/**
 * What two runs of the same code differ by on a machine that other work shares: seen up to a quarter for
 * times, and next to nothing for counts and sizes.
 */
export const NOISE_BANDS = { time: 0.3, count: 0.05 };

/** One comparison for each figure of either; `measured` are the benchmarks that were run. */
export function compareFigures(
  current: Figures,
  baseline: Figures,
  measured: readonly string[],
): Comparison[] {
  const names = new Set([...Object.keys(baseline), ...Object.keys(current)]);
  return [...names]
    .filter((name) => measured.some((file) => name.startsWith(`${file}: `)))
    .toSorted()
    .map((figure) => compare(figure, current[figure], baseline[figure]));
}

export function hasRegression(comparisons: readonly Comparison[]): boolean {
  return comparisons.some(({ verdict }) => verdict === 'WORSE' || verdict === 'not measured');
}

function compare(
  figure: string,
  now: ReportedFigure | undefined,
  before: ReportedFigure | undefined,
): Comparison {
  const unit = (now ?? before)?.unit ?? '';
  const known = { figure, value: now?.value, baseline: before?.value, unit };
  if (before === undefined) return { ...known, ratio: undefined, verdict: 'new' };
  if (now === undefined) return { ...known, ratio: undefined, verdict: 'not measured' };
  const ratio = ratioOf(now, before);
  if (now.gated === false) return { ...known, ratio, verdict: 'not gated' };
  if (isMemory(now)) return { ...known, ratio, verdict: isOverTarget(now) ? 'WORSE' : 'ok' };
  const band = isTime(before) || isTimeRatio(before) ? NOISE_BANDS.time : NOISE_BANDS.count;
  return { ...known, ratio, verdict: verdictOf(ratio, band) };
}

/** One time over another of the same run: as noisy as they are, whatever the machine's speed. */
function isTimeRatio({ unit }: ReportedFigure): boolean {
  return unit === 'times' || unit.startsWith('ratio');
}

/** Memory of a process moves by tens of megabytes between runs, so only its promised bound is held. */
function isMemory({ unit, better, scalesWithMachine }: ReportedFigure): boolean {
  return better === 'lower' && scalesWithMachine === false && /^Mi?B\b/.test(unit);
}

function isOverTarget({ value, target }: ReportedFigure): boolean {
  return target !== undefined && !(value <= target);
}

/** Not a number (a benchmark that reported nonsense) is worse than anything. */
function verdictOf(ratio: number, band: number): Verdict {
  if (!(ratio >= 1 - band)) return 'WORSE';
  return ratio > 1 / (1 - band) ? 'better' : 'ok';
}

function ratioOf(now: ReportedFigure, before: ReportedFigure): number {
  const change = normalised(now) / normalised(before);
  return before.better === 'higher' ? change : 1 / change;
}

function normalised(figure: ReportedFigure): number {
  if (!isTime(figure)) return figure.value;
  const { value, reference, better } = figure;
  return better === 'higher' ? value / reference : value * reference;
}

function isTime({ scalesWithMachine }: ReportedFigure): boolean {
  return scalesWithMachine !== false;
}

/** The better of two measurements of the same figures: noise only ever makes a figure worse. */
export function bestOf(first: Figures, second: Figures): Figures {
  const best: Record<string, ReportedFigure> = { ...first };
  for (const [name, figure] of Object.entries(second)) {
    const other = best[name];
    if (other === undefined || ratioOf(figure, other) > 1) best[name] = figure;
  }
  return best;
}
