/** From the sources of a statement to what must be asked of the catalog. Pure. */

import { assert, type Nanoseconds, nanoseconds, parseProcessId } from '@tracelake/domain';
import { schemaHashOf, type ViewRegistry, type ViewSet } from '@tracelake/lakehouse';
import type { CatalogTable, LakeSnapshotRequest } from '@tracelake/storage';
import type { SourceRef } from '../engine/protocol.ts';
import { QueryError } from '../query-error.ts';

/** Inclusive at both ends; an end that is not given is open. */
export interface QueryRange {
  readonly beginNs?: Nanoseconds | undefined;
  readonly endNs?: Nanoseconds | undefined;
}

/** A source whose rows are partitions of a view. */
export interface ViewSource {
  readonly table: string;
  readonly view: ViewSet;
  /** `spans` gives every row its stream and the stream's name. */
  readonly shape: 'plain' | 'with-thread';
  readonly instances:
    | { readonly kind: 'one'; readonly instance: string }
    | { readonly kind: 'all' }
    | { readonly kind: 'of-process'; readonly processId: string };
}

export type CatalogSourceName =
  | 'processes'
  | 'streams'
  | 'blocks'
  | 'rejected_blocks'
  | 'list_partitions';

export interface CatalogSource {
  readonly table: string;
  readonly name: CatalogSourceName;
}

export interface BlockSource {
  readonly table: string;
  readonly blockId: string;
}

export interface SourceSelection {
  readonly views: readonly ViewSource[];
  readonly catalog: readonly CatalogSource[];
  readonly blocks: readonly BlockSource[];
}

/** Tables of the catalog database that each source is made from. */
export const CATALOG_BASES: Readonly<Record<CatalogSourceName, readonly CatalogTable[]>> = {
  processes: ['processes'],
  streams: ['streams'],
  blocks: ['processes', 'streams', 'blocks'],
  rejected_blocks: ['rejected_blocks'],
  list_partitions: ['partitions'],
};

const THREAD_VIEW = 'thread_spans';

/**
 * How far an event's time, which follows the producer's tick counter, may lie from the times of its block,
 * which follow its wall clock. Beyond it a process is left out of a global view; partitions have exact times.
 */
const CLOCK_DRIFT_NS = 24n * 3600n * 1_000_000_000n;

/**
 * Errors: `lakehouse.unknown-view`, `lakehouse.bad-instance`, `query.unknown-source`. The last argument tells
 * the ids of processes among those given to `spans`.
 */
export function selectSources(
  sources: readonly SourceRef[],
  registry: ViewRegistry,
  isProcess: (id: string) => boolean,
): SourceSelection {
  const views: ViewSource[] = [];
  const catalog: CatalogSource[] = [];
  const blocks: BlockSource[] = [];
  for (const source of sources) {
    if (source.kind === 'view') views.push(viewSource(source, registry));
    else if (source.kind === 'function' && source.name === 'spans') {
      views.push(spansSource(source, registry, isProcess));
    } else if (source.kind === 'function' && source.name === 'parse_block') {
      blocks.push({ table: source.table, blockId: String(source.args[0]) });
    } else catalog.push({ table: source.table, name: catalogNameOf(source.name) });
  }
  return { views, catalog, blocks };
}

/** Ids given to `spans`, of which it must be known whether they are processes. */
export function ambiguousIdsOf(sources: readonly SourceRef[]): string[] {
  const ids = sources.flatMap((source) =>
    source.kind === 'function' && source.name === 'spans' ? [String(source.args[0])] : [],
  );
  return [...new Set(ids)];
}

export function snapshotRequestOf(
  { views }: SourceSelection,
  range: QueryRange,
): LakeSnapshotRequest {
  const request = {
    instances: [] as LakeSnapshotRequest['instances'][number][],
    globals: [] as LakeSnapshotRequest['globals'][number][],
    processes: [] as LakeSnapshotRequest['processes'][number][],
  };
  for (const { view, instances } of views) {
    const built = { view, schemaHash: schemaHashOf(view) };
    if (instances.kind === 'one')
      request.instances.push({ ...built, instance: instances.instance });
    else if (instances.kind === 'all') request.globals.push({ ...built, ...blocksBetween(range) });
    else {
      const processId = parseProcessId(instances.processId);
      assert(processId !== undefined, 'a process of spans has an id');
      request.processes.push({ processId, views: [built] });
    }
  }
  return request;
}

/** Whether an instance of the snapshot is one that the source reads. */
export function readsInstance(
  { view, instances }: ViewSource,
  one: {
    readonly viewSet: string;
    readonly instance: string;
    readonly process?: { readonly processId: string } | undefined;
  },
): boolean {
  if (one.viewSet !== view.name) return false;
  if (instances.kind === 'one') return one.instance === instances.instance;
  if (instances.kind === 'all') return true;
  return one.process?.processId === instances.processId;
}

function viewSource(
  { table, viewSet, instance }: Extract<SourceRef, { kind: 'view' }>,
  registry: ViewRegistry,
): ViewSource {
  const view = registry.get(viewSet);
  const isGlobal = instance === 'global' && view.eager && view.instanceRule === 'process';
  const instances = isGlobal
    ? ({ kind: 'all' } as const)
    : ({ kind: 'one', instance: registry.checkInstance(viewSet, instance) } as const);
  return { table, view, shape: 'plain', instances };
}

function spansSource(
  { table, args }: Extract<SourceRef, { kind: 'function' }>,
  registry: ViewRegistry,
  isProcess: (id: string) => boolean,
): ViewSource {
  const id = registry.checkInstance(THREAD_VIEW, String(args[0]));
  const instances = isProcess(id)
    ? ({ kind: 'of-process', processId: id } as const)
    : ({ kind: 'one', instance: id } as const);
  return { table, view: registry.get(THREAD_VIEW), shape: 'with-thread', instances };
}

function catalogNameOf(name: string): CatalogSourceName {
  if (Object.hasOwn(CATALOG_BASES, name)) return name as CatalogSourceName;
  throw new QueryError('query.unknown-source', `there is no table or function "${name}"`);
}

const FIRST_NS = -(2n ** 62n);
const LAST_NS = 2n ** 63n - 1n;

function blocksBetween({ beginNs, endNs }: QueryRange) {
  if (beginNs === undefined && endNs === undefined) return {};
  return {
    blocksBetween: {
      beginNs: nanoseconds((beginNs ?? FIRST_NS) - CLOCK_DRIFT_NS),
      endNs: nanoseconds((endNs ?? LAST_NS) + CLOCK_DRIFT_NS),
    },
  };
}
