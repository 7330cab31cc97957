/** What processes of this machine have used so far, from /proc. */
import { readdirSync, readFileSync } from 'node:fs';

const TICK_MS = 10;

interface ProcessTimes {
  readonly parent: number;
  readonly cpuMs: number;
}

/** CPU milliseconds of processes and all that came from them and still live. */
export function cpuMsOfTrees(roots: readonly number[]): number {
  const all = new Map<number, ProcessTimes>();
  for (const name of readdirSync('/proc')) {
    const times = /^\d+$/.test(name) ? readTimes(name) : undefined;
    if (times !== undefined) all.set(Number(name), times);
  }
  const belongs = (pid: number): boolean => {
    if (roots.includes(pid)) return true;
    const parent = all.get(pid)?.parent;
    return parent !== undefined && parent > 1 && belongs(parent);
  };
  let sum = 0;
  for (const [pid, { cpuMs }] of all) if (belongs(pid)) sum += cpuMs;
  return sum;
}

/** Bytes of memory that a process holds in RAM. */
export function residentBytesOf(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1] ?? 0) * 1024;
}

function readTimes(pid: string): ProcessTimes | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name in parentheses may hold anything; what follows it is numbers.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return {
      parent: Number(fields[1]),
      cpuMs: (Number(fields[11]) + Number(fields[12])) * TICK_MS,
    };
  } catch {
    return undefined;
  }
}
