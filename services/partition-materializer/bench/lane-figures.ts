/** How the lanes benchmark measures, and what it computes from it. */

import { spawnSync } from 'node:child_process';

export interface CpuAndWall {
  readonly wallMs: number;
  /** Of all threads of this process. */
  readonly cpuMs: number;
  /** Of the main thread. */
  readonly mainMs: number;
}

export async function measure(work: () => Promise<void>): Promise<CpuAndWall> {
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
  };
}

/** Lets all threads of the processes run on the first `cores` cores alone; false where that cannot be asked for. */
export function confineTo(cores: number, pids: readonly number[]): boolean {
  const list = cores === 1 ? '0' : `0-${cores - 1}`;
  const confine = (pid: number) => {
    const args = ['--all-tasks', '--cpu-list', '--pid', list, String(pid)];
    return spawnSync('taskset', args).status === 0;
  };
  return pids.map(confine).every(Boolean);
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
