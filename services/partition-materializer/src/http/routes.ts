/** Operations routes: what is built of an instance, and building it now. */

import { formatRfc3339, nanoseconds } from '@tracelake/domain';
import { schemaHashOf, type ViewRegistry } from '@tracelake/lakehouse';
import type { PartitionCatalog } from '@tracelake/storage';
import type { FastifyInstance } from 'fastify';
import type { BuildReport } from '../build/build-report.ts';
import type { BuildRequest, InstanceBuilds } from '../build/instance-builds.ts';
import { MaterializerError } from '../materializer-error.ts';

export interface RoutesOptions {
  readonly registry: ViewRegistry;
  readonly catalog: PartitionCatalog;
  readonly builds: InstanceBuilds;
}

interface InstanceParams {
  readonly view: string;
  readonly instance: string;
}

export function registerRoutes(app: FastifyInstance, options: RoutesOptions): void {
  app.get<{ Params: InstanceParams }>('/v1/partitions/:view/:instance', (request) =>
    listPartitions(request.params, options),
  );
  app.post<{ Params: InstanceParams; Querystring: PipelineQuery }>(
    '/v1/materialize/:view/:instance',
    async (request, reply) => {
      const { view, instance } = request.params;
      const gone = new AbortController();
      const { socket } = request.raw;
      const onClose = () => gone.abort(new Error('the client has gone'));
      // The socket outlives the request when the connection is kept.
      socket.once('close', onClose);
      try {
        const pipeline = parsePipeline(request.query);
        const report = await options.builds.build(
          { viewSet: view, instance, ...(pipeline === undefined ? {} : { pipeline }) },
          gone.signal,
        );
        return reply.send(materializeAnswer(report));
      } finally {
        socket.off('close', onClose);
      }
    },
  );
}

interface PipelineQuery {
  readonly workers?: unknown;
  readonly channel_depth?: unknown;
}

const PIPELINE_MAX = 1024;

/** `?workers=&channel_depth=`: a shape of the pipeline for this build alone; undefined when neither is given. */
function parsePipeline(query: PipelineQuery): BuildRequest['pipeline'] {
  const workers = parseCount('workers', query.workers);
  const channelDepth = parseCount('channel_depth', query.channel_depth);
  if (workers === undefined && channelDepth === undefined) return undefined;
  return {
    ...(workers === undefined ? {} : { workers }),
    ...(channelDepth === undefined ? {} : { channelDepth }),
  };
}

function parseCount(parameter: string, value: unknown): number | undefined {
  if (value === undefined) return undefined;
  const count = typeof value === 'string' && /^\d{1,4}$/.test(value) ? Number(value) : 0;
  if (count >= 1 && count <= PIPELINE_MAX) return count;
  throw new MaterializerError(
    'materializer.bad-request',
    `${parameter} must be a whole number from 1 to ${PIPELINE_MAX}`,
    { details: { parameter } },
  );
}

async function listPartitions(
  params: InstanceParams,
  { registry, catalog }: RoutesOptions,
): Promise<unknown> {
  const view = registry.get(params.view);
  const instance = registry.checkInstance(view.name, params.instance);
  const schemaHash = schemaHashOf(view);
  const partitions = await catalog.listPartitions(view.name, instance);
  return partitions.map((partition) => ({
    partition_id: partition.partitionId,
    kind: partition.kind,
    source_hash: partition.sourceHash,
    schema_hash: partition.schemaHash,
    has_current_schema: partition.schemaHash === schemaHash,
    begin_insert_time: isoOfMicroseconds(partition.beginInsertUs),
    end_insert_time: isoOfMicroseconds(partition.endInsertUs),
    min_event_time: isoOfNanoseconds(partition.minEventNs),
    max_event_time: isoOfNanoseconds(partition.maxEventNs),
    block_count: partition.blockIds.length,
    row_count: partition.rowCount,
    event_count: partition.eventCount,
    size_bytes: partition.sizeBytes,
    object_key: partition.objectKey,
  }));
}

function materializeAnswer(report: BuildReport): unknown {
  return {
    decision: report.decision,
    partitions: report.partitions,
    built: report.built,
    blocks_decoded: report.blocksDecoded,
    rows: report.rows,
    rejected: report.rejected.map(({ blockId, reason }) => ({ block_id: blockId, reason })),
    source_hash: report.sourceHash,
  };
}

function isoOfMicroseconds(timeUs: bigint): string {
  return formatRfc3339(nanoseconds(timeUs * 1000n));
}

function isoOfNanoseconds(timeNs: bigint | null): string | null {
  return timeNs === null ? null : formatRfc3339(nanoseconds(timeNs));
}
