/** CPU time of a service and of the processes that answer its queries (Linux). */

import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

/** The kernel's clock ticks, 100 a second. */
const TICK_MS = 10;
const INTERVAL_MS = 20;
/** A process that starts takes the processor all the time: this long without a tick, and it waits. */
const QUIET_LOOKS = 4;
const LOOKS_MAX = 500;

export interface CpuMeter {
  /** Waits until the process that answered has ended; milliseconds, in steps of 10. */
  spentMs(): Promise<number>;
}

/**
 * Counts from now on the service itself and the one of its children that ends: what that had used before is
 * taken off. The start of the child that takes its place is not counted.
 */
export async function meterQuery(pid: number): Promise<CpuMeter> {
  const before = new Map<number, number>();
  for (const child of await childrenOf(pid)) before.set(child, (await timesOf(child))?.own ?? 0);
  const service = await timesOf(pid);
  return {
    spentMs: async () => {
      const ended = await firstToEnd(pid, [...before.keys()]);
      const now = await timesOf(pid);
      if (service === undefined || now === undefined) throw new Error('the service has ended');
      const ofChildren = now.ended - service.ended - (before.get(ended) ?? 0);
      return (now.own - service.own + ofChildren) * TICK_MS;
    },
  };
}

/** Resolves once the children have started and wait; gives the CPU milliseconds that a start took (the mean). */
export async function childrenSettled(pid: number): Promise<number> {
  let quiet = 0;
  let last = -1;
  for (let look = 0; look < LOOKS_MAX; look++) {
    const times = await Promise.all((await childrenOf(pid)).map(timesOf));
    const ticks = times.reduce((sum, one) => sum + (one?.own ?? 0), 0);
    quiet = ticks === last ? quiet + 1 : 0;
    last = ticks;
    if (quiet >= QUIET_LOOKS) return (ticks * TICK_MS) / times.length;
    await sleep(INTERVAL_MS);
  }
  throw new Error('the children of the service do not come to rest');
}

async function firstToEnd(pid: number, children: readonly number[]): Promise<number> {
  for (let look = 0; look < LOOKS_MAX; look++) {
    const living = new Set(await childrenOf(pid));
    const ended = children.find((child) => !living.has(child));
    if (ended !== undefined) return ended;
    await sleep(INTERVAL_MS);
  }
  throw new Error('no query process has ended');
}

async function childrenOf(pid: number): Promise<number[]> {
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8');
  return text.trim().split(' ').filter(Boolean).map(Number);
}

/** Clock ticks of a process, and of those of its children that have ended and been waited for. */
async function timesOf(pid: number): Promise<{ own: number; ended: number } | undefined> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const [user = 0, system = 0, endedUser = 0, endedSystem = 0] = fields.slice(11, 15).map(Number);
  return { own: user + system, ended: endedUser + endedSystem };
}
