/** How the lanes benchmark measures, and what it computes from it. */

import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';

export interface CpuAndWall {
  readonly wallMs: number;
  /** Of all threads of this process. */
  readonly cpuMs: number;
  /** Of the main thread. */
  readonly mainMs: number;
  /** Pages that were new to this process. */
  readonly faults: number;
}

export async function measure(work: () => Promise<void>): Promise<CpuAndWall> {
  const faultsBefore = process.resourceUsage().minorPageFault;
  const mainBefore = process.threadCpuUsage();
  const cpuBefore = process.cpuUsage();
  const startMs = performance.now();
  await work();
  const wallMs = performance.now() - startMs;
  const cpu = process.cpuUsage(cpuBefore);
  const main = process.threadCpuUsage(mainBefore);
  return {
    wallMs,
    cpuMs: (cpu.user + cpu.system) / 1000,
    mainMs: (main.user + main.system) / 1000,
    faults: process.resourceUsage().minorPageFault - faultsBefore,
  };
}

export interface Quartiles {
  readonly lower: number;
  readonly median: number;
  readonly upper: number;
}

/** Between two values where the place falls between them; not a number without values. */
export function quartilesOf(values: readonly number[]): Quartiles {
  const sorted = values.toSorted((first, second) => first - second);
  const at = (part: number) => {
    const place = part * (sorted.length - 1);
    const below = sorted[Math.floor(place)] ?? Number.NaN;
    const above = sorted[Math.ceil(place)] ?? Number.NaN;
    return below + (above - below) * (place % 1);
  };
  return { lower: at(0.25), median: at(0.5), upper: at(0.75) };
}

/**
 * Lets all threads of processes run on the first `cores` cores alone. A shell does it that is started once: a process
 * that forks meets every page of its memory anew, and what is measured next would pay for that.
 */
export class CoreConfinement implements Disposable {
  readonly #shell: ChildProcess & { stdin: Writable; stdout: Readable };
  readonly #answers: AsyncIterator<string>;
  readonly #pids: readonly number[];

  constructor(pids: readonly number[]) {
    this.#pids = pids;
    this.#shell = spawn('sh', [], { stdio: ['pipe', 'pipe', 'ignore'] });
    const lines = createInterface({ input: this.#shell.stdout });
    this.#answers = lines[Symbol.asyncIterator]();
  }

  /** False where that cannot be asked for. */
  async to(cores: number): Promise<boolean> {
    const list = cores === 1 ? '0' : `0-${cores - 1}`;
    const confine = `taskset --all-tasks --cpu-list --pid ${list} $pid >&2 || told=no`;
    const pids = this.#pids.join(' ');
    this.#shell.stdin.write(`told=yes; for pid in ${pids}; do ${confine}; done; echo $told\n`);
    const { value } = await this.#answers.next();
    return value === 'yes';
  }

  [Symbol.dispose](): void {
    this.#shell.kill();
  }
}

export function table(
  title: string,
  rows: readonly Readonly<Record<string, number | string | undefined>>[],
): void {
  console.log(`\n${title}`);
  const round = (value: number | string | undefined) =>
    typeof value === 'number' ? Number(value.toPrecision(4)) : (value ?? '');
  console.table(
    rows.map((row) =>
      Object.fromEntries(Object.entries(row).map(([key, value]) => [key, round(value)])),
    ),
  );
}
