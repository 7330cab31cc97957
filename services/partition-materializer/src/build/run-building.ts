/**
 * One run: its blocks through the staged pipeline (fetch in order, decode on worker threads, fold in
 * order) into the rows of one partition. What is held is bounded by the channels' depth, the payload
 * budget and the run's cap on events.
 */

import { runStagedPipeline } from '@tracelake/channels';
import { ensureExists } from '@tracelake/domain';
import type { RunBuilder, RunContext, RunResult, SourceBlock, ViewSet } from '@tracelake/lakehouse';
import type { RejectedBlock } from '@tracelake/storage';
import type { FetchedBlock } from './block-reader.ts';
import type { BuildDependencies } from './build-dependencies.ts';
import { createQueueObserver } from './queue-observer.ts';

export interface RunRequest {
  readonly view: ViewSet;
  readonly context: RunContext;
  /** In the order in which they are folded. */
  readonly blocks: readonly SourceBlock[];
  readonly carryIn: Uint8Array | undefined;
  readonly signal: AbortSignal;
}

export interface BuiltRun {
  readonly result: RunResult;
  readonly rejected: readonly RejectedBlock[];
}

type DecodedBlock =
  | { readonly block: SourceBlock; readonly parsed: unknown }
  | { readonly block: SourceBlock; readonly reason: string };

/** Errors: whatever a stage throws, with the other stages stopped and drained; never for a bad block. */
export async function buildRun(request: RunRequest, deps: BuildDependencies): Promise<BuiltRun> {
  const { view, context, blocks } = request;
  const builder: RunBuilder<unknown> = view.createRunBuilder(context, request.carryIn);
  const rejected: RejectedBlock[] = [];
  // Wakes a reader that waits for room when a later stage has failed.
  const failure = new AbortController();
  const signal = AbortSignal.any([request.signal, failure.signal]);
  using held = new HeldReservations();
  using observer = createQueueObserver(deps.metrics);
  await runStagedPipeline<FetchedBlock, DecodedBlock>({
    read: deps.reader.read(blocks, {
      fetchAhead: deps.settings.channelDepth,
      onReserved: (reservation) => held.add(reservation),
      giveWay: deps.giveWay,
      signal,
    }),
    work: (fetched, stageSignal) =>
      abortOnFailure(failure, () => decodeBlock(fetched, request, deps, stageSignal)),
    write: (decoded) =>
      abortOnFailure(failure, async () => {
        if ('reason' in decoded) {
          rejected.push({ blockId: decoded.block.blockId, reason: decoded.reason });
          reportRejection(decoded, view, deps);
        } else {
          builder.add(decoded.block, decoded.parsed);
          deps.metrics.blocksFolded.inc({ view: view.name });
        }
      }),
    workers: deps.settings.workers,
    cpuTokens: deps.cpuTokens,
    channelDepth: deps.settings.channelDepth,
    signal,
    observer,
  });
  return { result: builder.finish(), rejected };
}

async function abortOnFailure<T>(failure: AbortController, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    failure.abort(error);
    throw error;
  }
}

/** Blocks that a failing pipeline drops between its stages give their room back all the same. */
class HeldReservations implements Disposable {
  readonly #held = new Set<Disposable>();

  add(reservation: Disposable): Disposable {
    const tracked = {
      [Symbol.dispose]: () => {
        if (this.#held.delete(tracked)) reservation[Symbol.dispose]();
      },
    };
    this.#held.add(tracked);
    return tracked;
  }

  [Symbol.dispose](): void {
    for (const reservation of [...this.#held]) reservation[Symbol.dispose]();
  }
}

async function decodeBlock(
  fetched: FetchedBlock,
  { view, context }: RunRequest,
  deps: BuildDependencies,
  signal: AbortSignal,
): Promise<DecodedBlock> {
  const { block, payload } = fetched;
  using _held = fetched.reservation;
  deps.metrics.blocksRead.inc({ view: view.name });
  if (!(payload instanceof Uint8Array)) return { block, reason: payload.missing };
  deps.metrics.payloadBytesRead.inc({ view: view.name }, payload.length);
  const input = {
    process: context.process,
    stream: ensureExists(context.streams.get(block.streamId), `stream of block ${block.blockId}`),
    block,
    calibration: context.calibration,
    limits: { decompressedBytesMax: deps.settings.decompressedBytesMax },
  };
  const outcome = await deps.decoders.decode({ moduleUrl: view.moduleUrl, payload, input }, signal);
  if (outcome.outcome === 'undecodable') return { block, reason: outcome.reason };
  return { block, parsed: outcome.parsed };
}

function reportRejection(
  { block, reason }: { readonly block: SourceBlock; readonly reason: string },
  view: ViewSet,
  { metrics, logger }: BuildDependencies,
): void {
  metrics.blocksRejected.inc({ view: view.name });
  const { blockId, streamId, processId } = block;
  logger.warn('block rejected', { view: view.name, blockId, streamId, processId, reason });
}
