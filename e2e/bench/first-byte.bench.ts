/**
 * Exports through the running system, each service a process of its own: the time to the first byte of a trace of
 * which nothing is built yet, and what a warm export costs the whole service, plain and compressed, into a client
 * that discards what it gets.
 * Run: `npm run bench -- first-byte [--spans N] [--warm-spans N] [--rounds N]`.
 */

import { readFile } from 'node:fs/promises';
import { get, type IncomingMessage } from 'node:http';
import { parseArgs } from 'node:util';
import { reportBench } from '@tracelake/test-kit';
import { type ProcessStack, startProcessStack } from '../src/harness/process-stack.ts';
import { sendSyntheticProcess } from '../src/harness/slow-export.ts';

/** Of the kernel's accounting, USER_HZ. */
const TICKS_PER_SECOND = 100;

const { values } = parseArgs({
  strict: false,
  options: {
    spans: { type: 'string' },
    'warm-spans': { type: 'string' },
    rounds: { type: 'string' },
  },
});
const coldSpans = Number(values.spans ?? 100_000);
const warmSpans = Number(values['warm-spans'] ?? 2_000_000);
const rounds = Number(values.rounds ?? 5);

interface Export {
  readonly firstByteMs: number;
  readonly wallMs: number;
  readonly byteCount: number;
  /** Of all threads of trace-export. */
  readonly cpuMs: number;
  /** What the service says the first byte waited for, in milliseconds. */
  readonly waitedMs: Readonly<Record<string, number>>;
}

async function exportOnce(
  { traceExport }: ProcessStack,
  processId: string,
  query: string,
): Promise<Export> {
  const cpuBefore = await cpuMsOf(traceExport.pid);
  const startMs = performance.now();
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const url = `${traceExport.url}/v1/processes/${processId}/trace?${query}`;
    get(url, { agent: false }, resolve).once('error', reject);
  });
  if (response.statusCode !== 200) throw new Error(`export: ${response.statusCode}`);
  let firstByteMs = 0;
  let byteCount = 0;
  for await (const chunk of response as AsyncIterable<Uint8Array>) {
    if (byteCount === 0) firstByteMs = performance.now() - startMs;
    byteCount += chunk.length;
  }
  if (!response.complete) throw new Error('the response was cut short');
  const wallMs = performance.now() - startMs;
  const cpuMs = (await cpuMsOf(traceExport.pid)) - cpuBefore;
  return { firstByteMs, wallMs, byteCount, cpuMs, waitedMs: waitedMsOf(response) };
}

function waitedMsOf({ headers }: IncomingMessage): Record<string, number> {
  const entries = String(headers['server-timing']).matchAll(/([\w-]+);dur=([\d.]+)/g);
  return Object.fromEntries([...entries].map(([, name, ms]) => [name, Number(ms)]));
}

async function cpuMsOf(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  // After the name in parentheses; utime and stime are fields 14 and 15 of the line.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return ((Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND) * 1000;
}

const least = (all: readonly Export[], of: (one: Export) => number) => Math.min(...all.map(of));

await using stack = await startProcessStack();
const cold: Export[] = [];
const again: Export[] = [];
// The services have loaded their code and their connections before anything counts.
for (let round = 0; round <= rounds; round += 1) {
  const spanCount = coldSpans + round;
  const processId = await sendSyntheticProcess(stack.ingest.url, { spanCount });
  const first = await exportOnce(stack, processId, 'spans=both');
  const second = await exportOnce(stack, processId, 'spans=both');
  if (round === 0) continue;
  cold.push(first);
  again.push(second);
}
const processId = await sendSyntheticProcess(stack.ingest.url, { spanCount: warmSpans });
await exportOnce(stack, processId, 'spans=both');
const plain: Export[] = [];
const deflated: Export[] = [];
for (let round = 0; round < rounds; round += 1) {
  plain.push(await exportOnce(stack, processId, 'spans=both'));
  deflated.push(await exportOnce(stack, processId, 'spans=both&compress=deflate'));
}
const bestCold = cold.reduce((a, b) => (b.firstByteMs < a.firstByteMs ? b : a));
const named = Object.values(bestCold.waitedMs).reduce((sum, ms) => sum + ms, 0);
console.table({
  'first byte, cold, best round, ms': {
    ...bestCold.waitedMs,
    'all else': Number((bestCold.firstByteMs - named).toFixed(1)),
  },
  'first byte, warm, best round, ms': again.reduce((a, b) =>
    b.firstByteMs < a.firstByteMs ? b : a,
  ).waitedMs,
});
const plainCpuMs = least(plain, (one) => one.cpuMs);
const plainBytes = plain[0]?.byteCount ?? 0;
const wallMbPerSecond = plainBytes / 1000 / least(plain, (one) => one.wallMs);
reportBench([
  {
    name: 'export: first byte, cold, best',
    value: least(cold, (one) => one.firstByteMs),
    unit: `ms for ${coldSpans} spans`,
    better: 'lower',
    target: 300,
  },
  {
    name: 'export: first byte, warm, best',
    value: least(again, (one) => one.firstByteMs),
    unit: 'ms',
    better: 'lower',
  },
  {
    name: 'export over HTTP: slices',
    value: (warmSpans / plainCpuMs) * 1000,
    unit: 'slices per CPU second of the service',
    better: 'higher',
    target: 1_500_000,
  },
  {
    name: 'export over HTTP: MB of trace',
    value: plainBytes / 1000 / plainCpuMs,
    unit: 'MB per CPU second of the service',
    better: 'higher',
    target: 100,
  },
  {
    name: 'export over HTTP: MB of trace by the clock',
    value: wallMbPerSecond,
    unit: 'MB/s',
    better: 'higher',
    target: 100,
  },
  {
    name: 'export over HTTP: bytes, none to deflate',
    value: plainBytes / (deflated[0]?.byteCount ?? 1),
    unit: 'times smaller',
    better: 'higher',
    target: 5,
    scalesWithMachine: false,
  },
  {
    name: 'export over HTTP: CPU, deflate to none',
    value: least(deflated, (one) => one.cpuMs) / plainCpuMs,
    unit: 'times',
    better: 'lower',
    target: 2,
    scalesWithMachine: false,
  },
]);
