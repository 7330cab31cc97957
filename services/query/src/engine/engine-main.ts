/**
 * The program of a query's child process: reads one statement, runs it, writes the encoded answer to the
 * pipe on file descriptor 4 (nothing that a library prints can get between), and ends. It holds no
 * credentials and nothing of another query.
 */

import { writeFile } from 'node:fs/promises';
import { flushCompileCache } from 'node:module';
import { Socket } from 'node:net';
import { errorMessage } from '@tracelake/domain';
import { describeFailure } from './duckdb-failure.ts';
import { EngineError } from './engine-error.ts';
import { EngineSession } from './engine-session.ts';
import { watchOwnMemory } from './memory-watch.ts';
import {
  type ChildMessage,
  decodeParentMessage,
  type EngineSettings,
  type ParentMessage,
} from './protocol.ts';
import { BodyPipe, streamResult } from './result-streaming.ts';

const BODY_FD = 4;

async function main(settings: EngineSettings): Promise<void> {
  // When memory runs out on the machine, it is this process that should go.
  await writeFile('/proc/self/oom_score_adj', '1000').catch(() => undefined);
  const pipe = new BodyPipe(new Socket({ fd: BODY_FD, readable: false, writable: true }));
  const session = await EngineSession.open(settings);
  watchOwnMemory(settings.processBytesMax, (message) => {
    tell({ kind: 'error', code: 'query.memory-limit', message }, endNow);
  });
  process.on('disconnect', endNow);
  process.on('message', (message) => {
    obey(session, pipe, decodeParentMessage(message)).catch(report);
  });
  // For the processes after this one, and before a stranger's statement is here: nothing is written later,
  // because a process ends by a signal.
  flushCompileCache();
  tell({ kind: 'ready' });
}

async function obey(session: EngineSession, pipe: BodyPipe, message: ParentMessage): Promise<void> {
  if (message.kind === 'analyse') {
    tell({ kind: 'sources', ...(await session.analyse(message.sql)) });
    return;
  }
  const onStarted = () => tell({ kind: 'started' });
  const summary = await streamResult(session, message.request, pipe, onStarted);
  tell({ kind: 'done', ...summary }, endNow);
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
