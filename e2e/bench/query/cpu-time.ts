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
  /** Waits until the process that answered has ended or come to rest. */
  stop(): Promise<CpuSpent>;
}

/** Milliseconds, in steps of 10. */
export interface CpuSpent {
  /** Of the service and of the processes that were there. */
  readonly answerMs: number;
  /** Of each process that was started meanwhile, until it waits for a statement. */
  readonly startsMs: readonly number[];
}

/** Counts from now on: what the service and its children had used before is taken off. */
export async function meterQuery(pid: number): Promise<CpuMeter> {
  const before = await childTimes(pid);
  const service = await timesOf(pid);
  return {
    stop: async () => {
      await childrenSettled(pid);
      const now = await timesOf(pid);
      const after = await childTimes(pid);
      if (service === undefined || now === undefined) throw new Error('the service has ended');
      // A child that has ended counts with its parent.
      let ticks = now.own - service.own + now.ended - service.ended;
      for (const [child, used] of before) ticks += (after.get(child) ?? 0) - used;
      const startsMs = [...after].flatMap(([child, used]) =>
        before.has(child) ? [] : [used * TICK_MS],
      );
      return { answerMs: ticks * TICK_MS, startsMs };
    },
  };
}

/** Resolves once the children have started and wait. */
export async function childrenSettled(pid: number): Promise<void> {
  let quiet = 0;
  let last = -1;
  for (let look = 0; look < LOOKS_MAX; look++) {
    const times = await childTimes(pid);
    const ticks = [...times.values()].reduce((sum, one) => sum + one, 0);
    quiet = ticks === last ? quiet + 1 : 0;
    last = ticks;
    if (quiet >= QUIET_LOOKS) return;
    await sleep(INTERVAL_MS);
  }
  throw new Error('the children of the service do not come to rest');
}

/** Ticks of the children that live. */
async function childTimes(pid: number): Promise<Map<number, number>> {
  const times = new Map<number, number>();
  for (const child of await childrenOf(pid)) times.set(child, (await timesOf(child))?.own ?? 0);
  return times;
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
