/**
 * From the sources of a statement to files on this machine: finds the instances, waits until their partitions
 * are current, leaves out what lies outside the range, fetches what is left and reads the catalog's tables.
 */

import { mkdtemp, rm } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import type { Bus } from '@tracelake/bus';
import { parseProcessId } from '@tracelake/domain';
import { catalogFreshness, ensureFreshPartitions, type ObjectCache } from '@tracelake/lake-reading';
import {
  planLayout,
  schemaHashOf,
  threadDisplayName,
  type ViewRegistry,
} from '@tracelake/lakehouse';
import { ParquetReader } from '@tracelake/parquet';
import type { LakeCatalog } from '@tracelake/sql';
import {
  type Database,
  type LakeInstance,
  type LakeSnapshot,
  type LakeSnapshotRequest,
  type ObjectStore,
  PartitionCatalog,
  ProcessRepository,
  type ReadLease,
} from '@tracelake/storage';
import type { NamedRows, SourceRef, TableDefinition } from '../engine/protocol.ts';
import { QueryError } from '../query-error.ts';
import { readBlockObjects } from './block-objects.ts';
import { readCatalogSources, tableColumn, writeRows } from './catalog-snapshot.ts';
import { EXPLANATION_COLUMNS, explain } from './explanation.ts';
import { chooseFiles, type Receipt, receiptOf } from './partition-choice.ts';
import {
  ambiguousIdsOf,
  type QueryRange,
  readsInstance,
  type SourceSelection,
  selectSources,
  snapshotRequestOf,
  type ViewSource,
} from './source-selection.ts';

export interface SourceResolverParts {
  readonly db: Database;
  readonly bus: Bus;
  readonly registry: ViewRegistry;
  readonly lakeCatalog: LakeCatalog;
  readonly cache: ObjectCache;
  readonly objects: Pick<ObjectStore, 'get'>;
  /** Of a block that `parse_block` opens. */
  readonly decompressedBytesMax: number;
  readonly tempDir: string;
  readonly buildTimeoutMs: number;
  /** Of DuckDB while it turns the catalog's tables into Parquet. */
  readonly conversionMemoryBytes: number;
}

/** Milliseconds of each step. */
export interface ResolutionTimes {
  readonly plan: number;
  readonly build: number;
  readonly fetch: number;
}

export interface ResolvedSources {
  readonly tables: readonly TableDefinition[];
  readonly receipt: Receipt;
  /** View instances that had to be built. */
  readonly builtCount: number;
  readonly times: ResolutionTimes;
  /** Fires when the files may go, the lease on them being lost. */
  readonly lost: AbortSignal;
  release(): Promise<void>;
}

export class SourceResolver {
  readonly #parts: SourceResolverParts;
  readonly #catalog: PartitionCatalog;

  constructor(parts: SourceResolverParts) {
    this.#parts = parts;
    this.#catalog = new PartitionCatalog(parts.db);
  }

  /**
   * Errors: `query.unknown-source`, `lakehouse.unknown-view`, `lakehouse.bad-instance`, `lake-reading.*`, and
   * those of Postgres, the bus and the object store. What it gives must be released.
   */
  async resolve(
    sources: readonly SourceRef[],
    range: QueryRange,
    signal: AbortSignal,
  ): Promise<ResolvedSources> {
    await using held = new AsyncDisposableStack();
    const clock = new StepClock();
    const selection = await this.#select(sources, signal);
    const request = snapshotRequestOf(selection, range);
    // The lease comes first: it keeps the objects of every snapshot taken after it.
    const { lease, first } = await this.#openLease(selection, request, signal);
    held.use(lease);
    const both = AbortSignal.any([signal, lease.lost]);
    const fresh = await this.#ensureFresh({ selection, request, first, signal: both, clock });
    clock.begin('fetch');
    const files = new QueryFiles(this.#parts.cache, held, both);
    const tables: TableDefinition[] = [];
    for (const source of selection.views) {
      tables.push(...(await viewTables(source, fresh.instances, range, files)));
    }
    clock.begin('plan');
    tables.push(...(await this.#catalogTables(selection, range, held, both)));
    const owned = held.move();
    return {
      tables,
      receipt: receiptFor(selection, fresh.instances),
      builtCount: fresh.builtCount,
      times: clock.end(),
      lost: lease.lost,
      release: () => owned.disposeAsync(),
    };
  }

  /** What `resolve` would read and build, as the one table that the explanation is read from. */
  async explain(
    sources: readonly SourceRef[],
    range: QueryRange,
    options: { readonly table: string; readonly signal: AbortSignal },
  ): Promise<ResolvedSources> {
    const { table, signal } = options;
    await using held = new AsyncDisposableStack();
    const clock = new StepClock();
    const selection = await this.#select(sources, signal);
    const request = snapshotRequestOf(selection, range);
    const { instances } = await this.#catalog.loadLakeSnapshot(request, signal);
    const directory = await this.#makeDirectory(held);
    const converter = held.use(this.#openConverter(directory));
    const path = join(directory, 'explanation.parquet');
    const rows = explain(selection, instances, range, async (view, instance) => {
      const wanted = { view, instance, schemaHash: schemaHashOf(view) };
      const { layout } = await this.#catalog.loadSnapshot(wanted, signal);
      return layout && planLayout(layout);
    });
    await writeRows(rows, EXPLANATION_COLUMNS, { path, converter, signal });
    const owned = held.move();
    return {
      tables: [{ table, files: [path], columns: EXPLANATION_COLUMNS.map(tableColumn) }],
      receipt: receiptFor(selection, instances),
      builtCount: 0,
      times: clock.end(),
      lost: new AbortController().signal,
      release: () => owned.disposeAsync(),
    };
  }

  /** With the first look at what is read, where anything is looked at. */
  async #openLease(
    { views }: SourceSelection,
    request: LakeSnapshotRequest,
    signal: AbortSignal,
  ): Promise<{ readonly lease: ReadLease; readonly first?: LakeSnapshot }> {
    const options = { owner: `query on ${hostname()}`, signal };
    if (views.length === 0) return { lease: await this.#catalog.openReadLease(options) };
    const { lease, snapshot: first } = await this.#catalog.openLeaseWithLook(options, request);
    return { lease, first };
  }

  async #select(sources: readonly SourceRef[], signal: AbortSignal): Promise<SourceSelection> {
    const processes = new Set<string>();
    const repository = new ProcessRepository(this.#parts.db);
    for (const id of ambiguousIdsOf(sources)) {
      const processId = parseProcessId(id);
      if (processId === undefined) continue;
      if ((await repository.find(processId, signal)) !== undefined) processes.add(processId);
    }
    return selectSources(sources, this.#parts.registry, (id) => processes.has(id));
  }

  async #ensureFresh({ selection, request, first, signal, clock }: FreshRequest) {
    const { bus, registry, buildTimeoutMs } = this.#parts;
    if (first === undefined) return { instances: [], builtCount: 0 };
    const freshness = catalogFreshness<LakeSnapshot>({
      bus,
      registry,
      loadSnapshot: async (now, since) => {
        // Later looks of the series have a first one behind them.
        const snapshot =
          since === undefined
            ? first
            : await this.#catalog.loadLakeSnapshot({ ...request, since }, now);
        refuseUnknown(selection, snapshot.instances);
        return snapshot;
      },
    });
    const { snapshot, builtCount } = await ensureFreshPartitions<LakeSnapshot>(
      {
        ...freshness,
        watch: (instances, now) => {
          clock.begin('build');
          return freshness.watch(instances, now);
        },
      },
      { timeoutMs: buildTimeoutMs, signal },
    );
    return { instances: snapshot.instances, builtCount };
  }

  async #catalogTables(
    { catalog, blocks }: SourceSelection,
    range: QueryRange,
    held: AsyncDisposableStack,
    signal: AbortSignal,
  ): Promise<TableDefinition[]> {
    if (catalog.length === 0 && blocks.length === 0) return [];
    const directory = await this.#makeDirectory(held);
    await using converter = this.#openConverter(directory);
    const options = { ...this.#parts, converter, directory, signal };
    const tables = await readCatalogSources(catalog, range, options);
    const columns = this.#parts.lakeCatalog.functionColumns.parse_block;
    for (const { table, blockId } of blocks) {
      const path = join(directory, `${table}.parquet`);
      await writeRows(readBlockObjects(blockId, options), columns, { path, converter, signal });
      tables.push({ table, files: [path], columns: columns.map(tableColumn) });
    }
    return tables;
  }

  async #makeDirectory(held: AsyncDisposableStack): Promise<string> {
    const directory = await mkdtemp(join(this.#parts.tempDir, 'query-'));
    held.defer(() => rm(directory, { recursive: true, force: true }));
    return directory;
  }

  #openConverter(tempDir: string): ParquetReader {
    return new ParquetReader({ memoryLimitBytes: this.#parts.conversionMemoryBytes, tempDir });
  }
}

interface FreshRequest {
  readonly selection: SourceSelection;
  readonly request: LakeSnapshotRequest;
  /** The look that came with the lease; undefined where no view is read. */
  readonly first: LakeSnapshot | undefined;
  readonly signal: AbortSignal;
  readonly clock: StepClock;
}

/** An id that nobody knows is a mistake; a process that has sent nothing yet is not. */
function refuseUnknown({ views }: SourceSelection, instances: readonly LakeInstance[]): void {
  for (const { view, instances: wanted } of views) {
    if (wanted.kind !== 'one') continue;
    const { instance } = wanted;
    const found = instances.find((one) => one.viewSet === view.name && one.instance === instance);
    if (found === undefined || found.process !== undefined) continue;
    throw new QueryError(
      'query.unknown-source',
      `there is no ${view.instanceRule} ${instance}; an instance of "${view.name}" is the id of a ${view.instanceRule}`,
      { details: { view: view.name, instance, rule: view.instanceRule } },
    );
  }
}

function receiptFor({ views }: SourceSelection, instances: readonly LakeInstance[]): Receipt {
  return receiptOf({
    instances,
    viewVersions: views.map(({ view }) => {
      return `${view.name}=${view.schemaVersion}:${schemaHashOf(view)}`;
    }),
    nowUs: BigInt(Date.now()) * 1000n,
  });
}

/** Opens the files of a query; they are given back with its other resources. */
class QueryFiles {
  readonly #cache: ObjectCache;
  readonly #held: AsyncDisposableStack;
  readonly #signal: AbortSignal;

  constructor(cache: ObjectCache, held: AsyncDisposableStack, signal: AbortSignal) {
    this.#cache = cache;
    this.#held = held;
    this.#signal = signal;
  }

  /** A few at a time. */
  async open(instance: LakeInstance, range: QueryRange): Promise<string[]> {
    const chosen = chooseFiles(instance.partitions, range);
    const paths: string[] = [];
    for (let at = 0; at < chosen.length; at += FETCHES_MAX) {
      const batch = chosen.slice(at, at + FETCHES_MAX);
      const opened = await Promise.allSettled(
        batch.map((file) => this.#cache.open(file, this.#signal)),
      );
      for (const one of opened) if (one.status === 'fulfilled') this.#held.use(one.value);
      for (const one of opened) {
        if (one.status === 'rejected') throw one.reason;
        paths.push(one.value.path);
      }
    }
    return paths;
  }
}

const FETCHES_MAX = 8;

async function viewTables(
  source: ViewSource,
  instances: readonly LakeInstance[],
  range: QueryRange,
  files: QueryFiles,
): Promise<TableDefinition[]> {
  const { table, view, shape } = source;
  const { columns, timeColumns: timePredicate } = view;
  const read = instances
    .filter((one) => readsInstance(source, one))
    .sort((a, b) => (a.instance < b.instance ? -1 : 1));
  if (shape === 'plain') {
    const paths: string[] = [];
    for (const one of read) paths.push(...(await files.open(one, range)));
    return [{ table, files: paths, columns, timePredicate }];
  }
  const parts: NamedRows[] = [];
  for (const one of read) {
    const paths = await files.open(one, range);
    const named = { stream_id: one.instance, thread_name: threadNameOf(one) };
    if (paths.length > 0) parts.push({ named, files: paths, columns, timePredicate });
  }
  if (parts.length > 0) return [{ table, parts }];
  const named = ['stream_id', 'thread_name'].map((name) => ({ name, type: 'string' }) as const);
  return [{ table, files: [], columns: [...named, ...columns] }];
}

function threadNameOf(instance: LakeInstance): string {
  for (const [streamId, stream] of instance.streams) {
    if (streamId === instance.instance) return threadDisplayName(stream);
  }
  return '';
}

/** Adds up the milliseconds of steps that follow each other. */
class StepClock {
  readonly #spent = { plan: 0, build: 0, fetch: 0 };
  #step: keyof ResolutionTimes = 'plan';
  #sinceMs = performance.now();

  begin(step: keyof ResolutionTimes): void {
    const nowMs = performance.now();
    this.#spent[this.#step] += nowMs - this.#sinceMs;
    this.#step = step;
    this.#sinceMs = nowMs;
  }

  end(): ResolutionTimes {
    this.begin(this.#step);
    return { ...this.#spent };
  }
}
