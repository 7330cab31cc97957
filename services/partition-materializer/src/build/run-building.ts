/**
 * One run: its blocks through the staged pipeline (fetch in order, decode on worker threads, fold in
 * order on another) into the rows of one partition, which stay on that thread. What is held is bounded by the channels' depth, the payload
 * budget and the run's cap on events. Where as many builds are at work as there are CPU tokens, no core is idle: a block
 * is then decoded on the thread that folds it, for one token, and its columns need not go from core to core.
 */

import { runStagedPipeline, withTokens } from '@tracelake/channels';
import { ensureExists } from '@tracelake/domain';
import type { RunContext, SourceBlock, ViewSet } from '@tracelake/lakehouse';
import type { RejectedBlock } from '@tracelake/storage';
import type { BlockToDecode } from '../decode/decode-messages.ts';
import type { FetchedBlock } from './block-reader.ts';
import type { BuildDependencies } from './build-dependencies.ts';
import { createQueueObserver, createStageObserver } from './queue-observer.ts';
import type { FinishedRun, RunFile } from './run-messages.ts';
import type { RemoteRun } from './run-worker-pool.ts';

export interface RunRequest {
  readonly view: ViewSet;
  readonly context: RunContext;
  /** In the order in which they are folded. */
  readonly blocks: readonly SourceBlock[];
  readonly signal: AbortSignal;
}

/** The blocks of a run folded, its rows not yet written. Dispose it in any case. */
export interface FoldedRun extends AsyncDisposable {
  readonly rejected: readonly RejectedBlock[];
  /** Once. Errors: those of `RemoteRun.finish`. */
  finish(file: RunFile): Promise<FinishedRun>;
}

/** On its way to the fold. */
type DecodedBlock = Pick<FetchedBlock, 'block' | 'decodedRoom'> &
  (
    | { readonly parsed: unknown }
    | { readonly reason: string }
    /** The thread that folds it decodes it too. */
    | ({ readonly payload: Uint8Array } & Pick<FetchedBlock, 'reservation'>)
  );

/**
 * The blocks of a run on their way, from the moment it is made: fetched and decoded as far as there is room, and folded
 * once it is known what the run starts from. So the blocks of the next run are decoded while this one is written.
 * Dispose it in any case.
 */
export class RunReading implements AsyncDisposable {
  readonly #request: RunRequest;
  readonly #deps: BuildDependencies;
  readonly #started = Promise.withResolvers<RemoteRun>();
  readonly #stopped = new AbortController();
  readonly #folding: Promise<RejectedBlock[]>;

  constructor(request: RunRequest, deps: BuildDependencies) {
    this.#request = request;
    this.#deps = deps;
    const signal = AbortSignal.any([request.signal, this.#stopped.signal]);
    this.#folding = foldBlocks(this.#started.promise, { ...request, signal }, deps);
    // Met by whoever folds; until then it is nobody's unhandled rejection.
    this.#folding.catch(() => {});
  }

  /** Errors: whatever a stage throws, with the other stages stopped and drained; never for a bad block. */
  async fold(carryIn: Uint8Array | undefined): Promise<FoldedRun> {
    await using stack = new AsyncDisposableStack();
    const { view, blocks } = this.#request;
    const context = withStreamsOf(blocks, this.#request.context);
    const run = stack.use(await this.#deps.runWorkers.startRun({ view, context, carryIn }));
    this.#started.resolve(run);
    const rejected = await this.#folding;
    const kept = stack.move();
    return {
      rejected,
      finish: (file) => finishRun(run, file, this.#request.signal, this.#deps),
      [Symbol.asyncDispose]: () => kept.disposeAsync(),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped.abort(new Error('the run is of no more use'));
    await Promise.allSettled([this.#folding]);
  }
}

async function finishRun(
  run: RemoteRun,
  file: RunFile,
  signal: AbortSignal,
  { cpuTokens, metrics }: BuildDependencies,
): Promise<FinishedRun> {
  const observer = createStageObserver(metrics);
  const told = { observer, stage: 'writer', waitingFor: 'cpu_token', signal } as const;
  const finish = async () => {
    const startMs = performance.now();
    const finished = await run.finish(file, signal);
    observer.busy?.('writer', performance.now() - startMs);
    return finished;
  };
  return await withTokens([run.turns, cpuTokens], finish, told);
}

/** A process may have thousands of streams, and a run needs few of them. */
function withStreamsOf(blocks: readonly SourceBlock[], context: RunContext): RunContext {
  const ids = new Set(blocks.map((block) => block.streamId));
  const streams = [...context.streams].filter(([streamId]) => ids.has(streamId));
  return { ...context, streams: new Map(streams) };
}

async function foldBlocks(
  started: Promise<RemoteRun>,
  request: RunRequest,
  deps: BuildDependencies,
): Promise<RejectedBlock[]> {
  const { view, blocks } = request;
  const { cpuTokens, metrics, runWorkers, settings } = deps;
  const rejected: RejectedBlock[] = [];
  // Wakes a reader that waits for room when a later stage has failed.
  const failure = new AbortController();
  const signal = AbortSignal.any([request.signal, failure.signal]);
  using held = new HeldReservations();
  using observer = createQueueObserver(metrics);
  await runStagedPipeline<FetchedBlock, DecodedBlock>({
    read: deps.reader.read(blocks, {
      fetchAhead: settings.channelDepth,
      onReserved: (reservation) => held.add(reservation),
      giveWay: deps.giveWay,
      signal,
    }),
    leaveToWriter: ({ payload, ...fetched }) => {
      const isFetched = payload instanceof Uint8Array;
      if (!isFetched || !cpuTokens.isCrowded || !runWorkers.mayDecode(fetched.block)) return;
      return { ...fetched, payload };
    },
    work: (fetched, stageSignal) =>
      abortOnFailure(failure, () => decodeBlock(fetched, request, deps, stageSignal)),
    write: (decoded) =>
      abortOnFailure(failure, async () => {
        using _room = decoded.decodedRoom;
        const reason = await addBlock(await started, decoded, { ...request, signal }, deps);
        if (reason === undefined) {
          metrics.blocksFolded.inc({ view: view.name });
        } else {
          rejected.push({ blockId: decoded.block.blockId, reason });
          reportRejection(decoded.block, reason, view, deps);
        }
      }),
    workers: settings.workers,
    writeAfter: started,
    // Folding takes a core as decoding does.
    writeTakesToken: true,
    writerTurns: started.then(({ turns }) => turns),
    cpuTokens,
    channelDepth: settings.channelDepth,
    signal,
    observer,
  });
  return rejected;
}

/** Folds the block into the run, or returns why it cannot be decoded. */
async function addBlock(
  run: RemoteRun,
  decoded: DecodedBlock,
  request: RunRequest,
  deps: BuildDependencies,
): Promise<string | undefined> {
  if ('reason' in decoded) return decoded.reason;
  const { block } = decoded;
  if ('parsed' in decoded) {
    await run.add(block, decoded.parsed, request.signal);
    return undefined;
  }
  using _held = decoded.reservation;
  countRead(decoded.payload, request.view, deps);
  const toDecode = { payload: decoded.payload, input: inputOf(block, request, deps) };
  return (await run.decodeAndAdd(toDecode, request.signal)).undecodable;
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
  request: RunRequest,
  deps: BuildDependencies,
  signal: AbortSignal,
): Promise<DecodedBlock> {
  const { view } = request;
  const { block, payload, decodedRoom } = fetched;
  using _held = fetched.reservation;
  countRead(payload, view, deps);
  if (!(payload instanceof Uint8Array)) return { block, decodedRoom, reason: payload.missing };
  const reload = () => deps.reader.reload(block, signal);
  const input = inputOf(block, request, deps);
  const toDecode = { moduleUrl: view.moduleUrl, payload, input, reload };
  const outcome = await deps.decoders.decode(toDecode, signal);
  if (outcome.outcome === 'undecodable') return { block, decodedRoom, reason: outcome.reason };
  return { block, decodedRoom, parsed: outcome.parsed };
}

/** What a decoder is told of a block besides its payload. */
function inputOf(
  block: SourceBlock,
  { context }: RunRequest,
  { settings }: BuildDependencies,
): BlockToDecode['input'] {
  return {
    process: context.process,
    stream: ensureExists(context.streams.get(block.streamId), `stream of block ${block.blockId}`),
    block,
    calibration: context.calibration,
    limits: { decompressedBytesMax: settings.decompressedBytesMax },
  };
}

function countRead(
  payload: FetchedBlock['payload'],
  { name }: ViewSet,
  { metrics }: BuildDependencies,
): void {
  metrics.blocksRead.inc({ view: name });
  if (payload instanceof Uint8Array) metrics.payloadBytesRead.inc({ view: name }, payload.length);
}

function reportRejection(
  { blockId, streamId, processId }: SourceBlock,
  reason: string,
  view: ViewSet,
  { metrics, logger }: BuildDependencies,
): void {
  metrics.blocksRejected.inc({ view: view.name });
  logger.warn('block rejected', { view: view.name, blockId, streamId, processId, reason });
}
