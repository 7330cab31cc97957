/**
 * The body of a run worker: folds the blocks of runs, decoded elsewhere or here, and writes their rows to Parquet files,
 * so that neither sorting nor encoding holds up the service's thread. Runs take turns between commands and row groups.
 */

import { parentPort } from 'node:worker_threads';
import { AppError, ensureExists, errorMessage } from '@tracelake/domain';
import {
  type Column,
  columnMemory,
  type RunBuilder,
  type SourceBlock,
  type ViewSet,
} from '@tracelake/lakehouse';
import { writeParquet } from '@tracelake/parquet';
import { decodeBlock, loadView } from '../decode/block-decoding.ts';
import type { BlockToDecode } from '../decode/decode-messages.ts';
import type {
  FinishedRun,
  RunCall,
  RunCommand,
  RunFailure,
  RunFile,
  RunReply,
  RunResults,
  RunStart,
} from './run-messages.ts';

interface OpenRun {
  readonly view: ViewSet;
  readonly builder: RunBuilder<unknown>;
  readonly dropped: AbortController;
  /** Of the blocks that the builder keeps until the run is finished. */
  readonly kept: ArrayBuffer[];
}

const port = ensureExists(parentPort, 'port to the service');
const runs = new Map<number, OpenRun>();

port.on('message', (call: RunCall) => {
  void answer(call).then((reply) => port.postMessage(reply));
});

async function answer({ callId, runId, command }: RunCall): Promise<RunReply> {
  try {
    return { callId, results: await carryOut(runId, command) };
  } catch (error) {
    return { callId, failure: failureOf(error) };
  }
}

async function carryOut(runId: number, command: RunCommand): Promise<RunResults> {
  switch (command.kind) {
    case 'start':
      runs.set(runId, await startRun(command));
      return {};
    case 'add':
      addBlock(runOf(runId), command.block, command.parsed);
      return {};
    case 'decodeAndAdd':
      return decodeAndAdd(runOf(runId), command.block);
    case 'finish':
      return { finished: await finishRun(runOf(runId), command.file) };
    case 'drop':
      runs.get(runId)?.dropped.abort(new Error('the run is of no more use'));
      runs.delete(runId);
      return {};
  }
}

async function startRun({ moduleUrl, context, carryIn }: RunStart): Promise<OpenRun> {
  const view = await loadView(moduleUrl);
  const builder = view.createRunBuilder(context, carryIn);
  return { view, builder, dropped: new AbortController(), kept: [] };
}

function decodeAndAdd(run: OpenRun, block: BlockToDecode): RunResults {
  const outcome = decodeBlock(run.view, block);
  if (outcome.outcome === 'undecodable') return { undecodable: outcome.reason };
  addBlock(run, block.input.block, outcome.parsed);
  return {};
}

function addBlock({ view, builder, kept }: OpenRun, block: SourceBlock, parsed: unknown): void {
  const buffers = view.transferList(parsed);
  if (builder.keepsParsed) kept.push(...buffers);
  builder.add(block, parsed);
  if (!builder.keepsParsed) free(buffers);
}

async function finishRun(
  { view, builder, dropped, kept }: OpenRun,
  { path, rowGroupRows, metadata }: RunFile,
): Promise<FinishedRun> {
  const { rows, ...rest } = builder.finish();
  const { columns } = view;
  const { signal } = dropped;
  try {
    const { sizeBytes } =
      rows.rowCount === 0
        ? { sizeBytes: 0 }
        : await writeParquet({ path, columns, rows, rowGroupRows, metadata, signal });
    return { ...rest, rowCount: rows.rowCount, sizeBytes };
  } finally {
    free(kept.splice(0));
    for (const column of rows.columns) columnMemory.give(bufferOf(column));
    freeWhenIdle();
  }
}

function bufferOf(column: Column): ArrayBufferLike {
  return column.type === 'string' ? column.codes.buffer : column.values.buffer;
}

/** Megabytes a block are given back at once and not when garbage is next collected. */
function free(buffers: readonly ArrayBuffer[]): void {
  for (const buffer of buffers) if (!buffer.detached) buffer.transfer(0);
}

/** The next run uses the memory of the last one, if it comes soon. */
const IDLE_MS = 5000;
const idle = setTimeout(() => columnMemory.free(), IDLE_MS).unref();

function freeWhenIdle(): void {
  idle.refresh();
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
