/**
 * A process whose streams and blocks arrive one by one: each call of `build` makes what is there current, as the
 * materializer does, in memory. Insert times and the calibration follow what has arrived.
 */

import {
  AppError,
  type BlockId,
  ensureExists,
  type Nanoseconds,
  nanoseconds,
  type StreamId,
} from '@tracelake/domain';
import {
  BlockSetDigest,
  calibrate,
  chooseCalibrationEvidence,
  createViewRegistry,
  type PartitionRecord,
  type RowColumns,
  type RunContext,
  type SourceBlock,
  schemaHashOf,
  type ViewSet,
} from '@tracelake/lakehouse';
import type { LakeInstance, ProcessFacts, ProcessSnapshot, StreamBlocks } from '@tracelake/storage';
import {
  canonicalLines,
  decodeLimits,
  MemoryLake,
  type RecordedProcess,
  type SeededRandom,
} from '@tracelake/test-kit';

const registry = createViewRegistry();
export const threadSpans = registry.get('thread_spans');
export const asyncEvents = registry.get('async_events');

/** A decoded block, by view, block and frequency; shared by the lakes of one recording. */
export type DecodedBlocks = Map<string, unknown>;

export interface ArrivingOptions {
  readonly recorded: RecordedProcess;
  readonly decoded: DecodedBlocks;
  readonly runEventsMax?: number;
}

interface InstanceLake {
  readonly view: ViewSet;
  readonly instance: string;
  readonly lake: MemoryLake<unknown>;
}

/** What a build decoded and made of one instance. */
export interface BuiltInstance {
  readonly viewSet: string;
  readonly instance: string;
  readonly built: readonly PartitionRecord[];
  readonly blocksDecoded: number;
}

export class ArrivingProcess {
  readonly #options: ArrivingOptions;
  readonly #streams = new Set<StreamId>();
  readonly #blocks = new Map<BlockId, SourceBlock>();
  readonly #instances = new Map<string, InstanceLake>();
  #arrivals = 0n;

  constructor(options: ArrivingOptions) {
    this.#options = options;
  }

  addStream(streamId: StreamId): void {
    this.#streams.add(streamId);
  }

  /** The first arrival of a block counts; a later one changes nothing. */
  addBlock(block: SourceBlock): void {
    const insertTimeUs = this.#options.recorded.process.startNs / 1000n + this.#arrivals++;
    if (!this.#blocks.has(block.blockId))
      this.#blocks.set(block.blockId, { ...block, insertTimeUs });
  }

  /** Everything at once, in the order of the recording. */
  addAll(): this {
    const { streams, blocks } = this.#options.recorded;
    for (const streamId of streams.keys()) this.addStream(streamId);
    for (const block of blocks) this.addBlock(block);
    return this;
  }

  /** Makes every instance of both views current. `order` shuffles what the catalog would answer. */
  build(random?: SeededRandom): BuiltInstance[] {
    const context = this.#context();
    const wantedOf = this.#wanted();
    return wantedOf.map(([key, view, instance, wanted]) => {
      const { lake } = this.#instanceLake(key, view, instance, context);
      lake.context = context;
      lake.parsedCount = 0;
      if (random !== undefined) {
        random.shuffle(wanted);
        random.shuffle(lake.stored);
      }
      const built = lake.materialize(wanted);
      return { viewSet: view.name, instance, built, blocksDecoded: lake.parsedCount };
    });
  }

  /** What is built of an instance. */
  partitions({ viewSet, instance }: { viewSet: string; instance: string }): PartitionRecord[] {
    return this.#instances.get(`${viewSet}/${instance}`)?.lake.partitions ?? [];
  }

  /** One line a row of every instance, sorted. */
  rowLines(): string[] {
    return [...this.#instances.values()]
      .flatMap(({ view, instance, lake }) =>
        canonicalLines(view, lake.rows()).map((line) => `${view.name} ${instance} ${line}`),
      )
      .sort();
  }

  /** The catalog as an export reads it, with the rows of each file; `keyOf` names the files. */
  snapshot(keyOf: (partition: PartitionRecord) => string): {
    readonly snapshot: ProcessSnapshot;
    readonly files: ReadonlyMap<string, RowColumns>;
  } {
    const files = new Map<string, RowColumns>();
    const wantedOf = this.#wanted();
    const context = this.#context();
    const instances = wantedOf.map(([key, view, instance, wanted]): LakeInstance => {
      const { lake } = this.#instanceLake(key, view, instance, context);
      const partitions = lake.stored.map(({ record, rows }) => {
        if (rows.rowCount === 0) return record;
        const objectKey = keyOf(record);
        files.set(objectKey, rows);
        return { ...record, objectKey, ...eventRangeOf(view, rows) };
      });
      return this.#stateOf({ view, instance, context, wanted, partitions });
    });
    return { snapshot: this.#snapshotOf(context, instances), files };
  }

  /** Everything is built, so what is wanted is covered. */
  #stateOf(built: {
    readonly view: ViewSet;
    readonly instance: string;
    readonly context: RunContext;
    readonly wanted: readonly SourceBlock[];
    readonly partitions: readonly PartitionRecord[];
  }): LakeInstance {
    const { view, instance, context, wanted, partitions } = built;
    const digest = new BlockSetDigest();
    for (const { blockId, contentSha256 } of wanted) {
      digest.add(Buffer.concat([Buffer.from(`\nblock ${blockId} `), contentSha256]));
    }
    const known = wanted.length;
    return {
      ...this.#factsOf(context),
      ...{ viewSet: view.name, instance, schemaHash: schemaHashOf(view) },
      ...{ streamTag: view.streamTag, blocksOf: countByStream(wanted) },
      ...{ known, covered: known, target: known, targetCovered: known },
      partitions: partitions.map(({ blockIds, ...partition }) => ({
        partition,
        ...{ isCurrent: true, first: undefined, last: undefined },
        ...{ blockCount: blockIds.length, presentCount: blockIds.length },
        targetCount: blockIds.length,
      })),
      contentDigest: String(digest),
    };
  }

  #snapshotOf(context: RunContext, instances: readonly LakeInstance[]): ProcessSnapshot {
    return { ...this.#factsOf(context), moment: { seen: '', takenUs: 0n }, instances };
  }

  #factsOf({ process, streams }: RunContext): ProcessFacts {
    let lastBlockEndNs: Nanoseconds | undefined;
    for (const { endNs } of this.#blocks.values())
      if (lastBlockEndNs === undefined || endNs > lastBlockEndNs) lastBlockEndNs = endNs;
    const calibrationCandidates = [...this.#blocks.values()];
    return { process, streams, calibrationCandidates, lastBlockEndNs };
  }

  #context(): RunContext {
    const { process, streams } = this.#options.recorded;
    const evidence = chooseCalibrationEvidence(process, this.#blocks.values());
    const known = [...streams].filter(
      ([streamId, { tags }]) => this.#streams.has(streamId) && tags.includes('cpu'),
    );
    return { process, streams: new Map(known), calibration: calibrate(process, evidence) };
  }

  /** The blocks of each instance whose stream has arrived. */
  #wanted(): [key: string, view: ViewSet, instance: string, wanted: SourceBlock[]][] {
    const { recorded } = this.#options;
    const all = [...this.#blocks.values()].filter(
      ({ streamId }) =>
        this.#streams.has(streamId) &&
        recorded.streams.get(streamId)?.tags.includes('cpu') === true,
    );
    if (all.length === 0) return [];
    const { processId } = recorded.process;
    return [
      ...[...Map.groupBy(all, ({ streamId }) => streamId)].map(
        ([streamId, blocks]): [string, ViewSet, string, SourceBlock[]] => [
          `${threadSpans.name}/${streamId}`,
          threadSpans,
          streamId,
          blocks,
        ],
      ),
      [`${asyncEvents.name}/${processId}`, asyncEvents, processId, all],
    ];
  }

  #instanceLake(key: string, view: ViewSet, instance: string, context: RunContext): InstanceLake {
    const known = this.#instances.get(key);
    if (known !== undefined) return known;
    const { runEventsMax } = this.#options;
    const lake = new MemoryLake<unknown>({
      view,
      context,
      parse: (block) => this.#decode(view, block),
      ...(runEventsMax !== undefined && { runEventsMax }),
    });
    const made = { view, instance, lake };
    this.#instances.set(key, made);
    return made;
  }

  /** Undefined for a block that cannot be decoded. */
  #decode(view: ViewSet, block: SourceBlock): unknown {
    const { recorded, decoded } = this.#options;
    const { process } = recorded;
    const { calibration } = this.#context();
    const key = `${view.name} ${block.blockId} ${calibration.frequencyHz}`;
    if (decoded.has(key)) return decoded.get(key);
    const stream = ensureExists(recorded.streams.get(block.streamId), 'stream of the block');
    const payload = ensureExists(recorded.payloads.get(block.blockId), 'payload of the block');
    let parsed: unknown;
    try {
      const limits = decodeLimits;
      parsed = view.parseBlock({ process, stream, block, payload, calibration, limits });
    } catch (error) {
      if (!(error instanceof AppError && error.code.startsWith('transit.'))) throw error;
    }
    decoded.set(key, parsed);
    return parsed;
  }
}

/** As the catalog has it: the least begin and the greatest time. */
function eventRangeOf(
  view: ViewSet,
  rows: RowColumns,
): { readonly minEventNs: Nanoseconds; readonly maxEventNs: Nanoseconds } {
  const [begin, end] = [view.timeColumns.begin, view.timeColumns.end].map((name) =>
    timesIn(view, rows, name),
  );
  let least = ensureExists(begin?.[0], 'first begin');
  let greatest = least;
  for (const time of begin ?? []) {
    if (time < least) least = time;
    if (time > greatest) greatest = time;
  }
  for (const time of end ?? []) if (time > greatest) greatest = time;
  return { minEventNs: nanoseconds(least), maxEventNs: nanoseconds(greatest) };
}

function timesIn(view: ViewSet, rows: RowColumns, name: string): BigInt64Array {
  const column = rows.columns[view.columns.findIndex((one) => one.name === name)];
  if (column?.type !== 'timestamp') throw new Error(`no times in ${name}`);
  return column.values;
}

function countByStream(wanted: readonly SourceBlock[]): Map<StreamId, StreamBlocks> {
  const grouped = Map.groupBy(wanted, ({ streamId }) => streamId);
  return new Map(
    [...grouped].map(([streamId, { length }]) => {
      const rejected = { rejected: 0, rejectedIds: [], rejectedFingerprint: 0n };
      const counts = { known: length, target: length, fingerprint: 0n, lastInsertUs: undefined };
      return [streamId, { ...counts, ...rejected }] as const;
    }),
  );
}
