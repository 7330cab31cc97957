/**
 * The program of a query's child process: reads one statement at a time, runs it and writes the encoded answer
 * to the pipe on file descriptor 4 (nothing that a library prints can get between). A statement that came to its
 * own end leaves the process to the next, with a DuckDB instance that has served nobody; any other ends the
 * process. It holds no credentials.
 */

import { writeFile } from 'node:fs/promises';
import { flushCompileCache } from 'node:module';
import { Socket } from 'node:net';
import { errorMessage } from '@tracelake/domain';
import { describeFailure } from './duckdb-failure.ts';
import { EngineError } from './engine-error.ts';
import { watchOwnMemory } from './memory-watch.ts';
import {
  type ChildMessage,
  decodeParentMessage,
  type EngineSettings,
  type ParentMessage,
} from './protocol.ts';
import { BodyPipe, streamResult } from './result-streaming.ts';
import { SessionStock } from './session-stock.ts';

const BODY_FD = 4;

async function main(settings: EngineSettings): Promise<void> {
  // When memory runs out on the machine, it is this process that should go.
  await writeFile('/proc/self/oom_score_adj', '1000').catch(() => undefined);
  const pipe = new BodyPipe(new Socket({ fd: BODY_FD, readable: false, writable: true }));
  const stock = await SessionStock.open(settings);
  watchOwnMemory(settings.processBytesMax, (message) => {
    tell({ kind: 'error', code: 'query.memory-limit', message }, endNow);
  });
  process.on('disconnect', endNow);
  process.on('message', (message) => {
    obey(stock, pipe, decodeParentMessage(message)).catch(report);
  });
  // For the processes after this one, and before a stranger's statement is here: nothing is written later,
  // because a process ends by a signal.
  flushCompileCache();
  tell({ kind: 'ready' });
}

async function obey(stock: SessionStock, pipe: BodyPipe, message: ParentMessage): Promise<void> {
  if (message.kind === 'analyse') {
    tell({ kind: 'sources', ...(await stock.current.analyse(message.sql)) });
    return;
  }
  const onStarted = () => tell({ kind: 'started' });
  const summary = await streamResult(stock.current, message.request, pipe, onStarted);
  tell({ kind: 'done', ...summary }, () => void makeReady(stock).catch(report));
}

/** For another statement, where the process has an instance left and holds no more memory than it may keep. */
async function makeReady(stock: SessionStock): Promise<void> {
  if (await stock.advance()) tell({ kind: 'ready' });
  else endNow();
}

function report(error: unknown): void {
  const { code, message } =
    error instanceof EngineError ? error : describeFailure(errorMessage(error));
  tell({ kind: 'error', code, message }, endNow);
}

function tell(message: ChildMessage, then?: () => void): void {
  if (process.connected) process.send?.(message, () => then?.());
  else endNow();
}

/** Without waiting for threads of DuckDB that still work. */
function endNow(): void {
  process.kill(process.pid, 'SIGKILL');
}

process.on('uncaughtException', report);
await main(JSON.parse(process.argv[2] ?? '{}') as EngineSettings);
