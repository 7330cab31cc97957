/**
 * Names of files that belong to a process while it runs. A killed process leaves its files; whoever comes later can
 * tell from the name that their owner is gone.
 */

import { createHash } from 'node:crypto';
import { hostname } from 'node:os';

/**
 * What this very process made, in its main thread: its number may have had another life before, in a container that
 * was restarted mostly.
 */
const ours = new Set<string>();
const machine = createHash('sha256').update(hostname()).digest('hex').slice(0, 8);

/** The beginning of a name: `<prefix><machine>-<process>-`. */
export function ownedNamePrefix(prefix: string): string {
  return `${prefix}${machine}-${process.pid}-`;
}

/** Says that this process made the name, which begins as `ownedNamePrefix` says. */
export function claimName(name: string): void {
  ours.add(name);
}

/** Says that the name is no more. */
export function releaseName(name: string): void {
  ours.delete(name);
}

/**
 * Whether a name with this prefix was made by a process that is no more. Only processes of this machine can be
 * asked about; what others made stays theirs.
 */
export function isLeftBehind(prefix: string, name: string): boolean {
  if (!name.startsWith(prefix)) return false;
  const [madeOn, pidText] = name.slice(prefix.length).split('-');
  if (madeOn !== machine || !/^\d+$/.test(pidText ?? '')) return false;
  const pid = Number(pidText);
  return pid === process.pid ? !ours.has(name) : !isRunning(pid);
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // Anything else than its absence, such as another user's process, is a process.
    return (error as { code?: unknown }).code !== 'ESRCH';
  }
}
