/**
 * The body of a run worker: folds the decoded blocks of runs and writes their rows to Parquet files, so that
 * neither sorting nor encoding holds up the service's thread. Runs take turns between commands and row groups.
 */

import { parentPort } from 'node:worker_threads';
import { AppError, ensureExists, errorMessage } from '@tracelake/domain';
import type { RunBuilder, ViewSet } from '@tracelake/lakehouse';
import { writeParquet } from '@tracelake/parquet';
import { MaterializerError } from '../materializer-error.ts';
import type {
  FinishedRun,
  RunCall,
  RunCommand,
  RunFailure,
  RunFile,
  RunReply,
  RunStart,
} from './run-messages.ts';

interface OpenRun {
  readonly view: ViewSet;
  readonly builder: RunBuilder<unknown>;
  readonly dropped: AbortController;
}

const port = ensureExists(parentPort, 'port to the service');
const runs = new Map<number, OpenRun>();

port.on('message', (call: RunCall) => {
  void answer(call).then((reply) => port.postMessage(reply));
});

async function answer({ callId, runId, command }: RunCall): Promise<RunReply> {
  try {
    return { callId, finished: await carryOut(runId, command) };
  } catch (error) {
    return { callId, failure: failureOf(error) };
  }
}

async function carryOut(runId: number, command: RunCommand): Promise<FinishedRun | undefined> {
  switch (command.kind) {
    case 'start':
      runs.set(runId, await startRun(command));
      return undefined;
    case 'add':
      runOf(runId).builder.add(command.block, command.parsed);
      return undefined;
    case 'finish':
      return await finishRun(runOf(runId), command.file);
    case 'drop':
      runs.get(runId)?.dropped.abort(new Error('the run is of no more use'));
      runs.delete(runId);
      return undefined;
  }
}

async function startRun({ moduleUrl, context, carryIn }: RunStart): Promise<OpenRun> {
  const view = await loadView(moduleUrl);
  const builder = view.createRunBuilder(context, carryIn);
  return { view, builder, dropped: new AbortController() };
}

async function loadView(moduleUrl: string): Promise<ViewSet> {
  try {
    const module: { readonly view?: ViewSet } = await import(moduleUrl);
    return ensureExists(module.view, `export "view" of ${moduleUrl}`);
  } catch (cause) {
    const message = `cannot load a view: ${errorMessage(cause)}`;
    throw new MaterializerError('materializer.view-not-loaded', message, { cause });
  }
}

async function finishRun(
  { view, builder, dropped }: OpenRun,
  { path, rowGroupRows, metadata }: RunFile,
): Promise<FinishedRun> {
  const { rows, ...rest } = builder.finish();
  const { columns } = view;
  const { signal } = dropped;
  const { sizeBytes } =
    rows.rowCount === 0
      ? { sizeBytes: 0 }
      : await writeParquet({ path, columns, rows, rowGroupRows, metadata, signal });
  return { ...rest, rowCount: rows.rowCount, sizeBytes };
}

function runOf(runId: number): OpenRun {
  return ensureExists(runs.get(runId), 'run');
}

/** Errors lose their fields on the way to another thread. */
function failureOf(error: unknown): RunFailure {
  const message = errorMessage(error);
  if (!(error instanceof AppError)) {
    return { code: undefined, message, retryable: false, details: {} };
  }
  const { code, retryable, details } = error;
  return { code, message, retryable, details: JSON.parse(JSON.stringify(details)) };
}
