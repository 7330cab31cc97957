/** Which processes there are to export. */

import { formatRfc3339 } from '@tracelake/domain';
import type { ProcessRepository, ProcessSummary } from '@tracelake/storage';
import type { FastifyInstance } from 'fastify';
import { ExportError } from '../export-error.ts';
import { parseProcessIdParameter } from '../export-request.ts';

const LIMIT_DEFAULT = 100;
const LIMIT_MAX = 10_000;
const SEARCH_CHARACTERS_MAX = 1000;

interface ListQuery {
  readonly search?: unknown;
  readonly limit?: unknown;
}

/** `GET /v1/processes?search=&limit=`, latest start first, and `GET /v1/processes/{id}`. */
export function registerProcessRoutes(app: FastifyInstance, processes: ProcessRepository): void {
  app.get<{ Querystring: ListQuery }>('/v1/processes', async (request) => {
    const { search, limit } = request.query;
    const found = await processes.list({ search: parseSearch(search), limit: parseLimit(limit) });
    return { processes: found.map(processJson) };
  });
  app.get<{ Params: { process_id: string } }>('/v1/processes/:process_id', async (request) => {
    const processId = parseProcessIdParameter(request.params.process_id);
    const found = await processes.findSummary(processId);
    if (found === undefined) throw unknownProcess(processId);
    return processJson(found);
  });
}

export function unknownProcess(processId: string): ExportError {
  return new ExportError('trace-export.unknown-process', 'there is no process of this id', {
    details: { processId },
  });
}

function processJson(summary: ProcessSummary): Record<string, unknown> {
  const { process } = summary;
  return {
    process_id: process.processId,
    exe: process.exe,
    username: process.username,
    realname: process.realname,
    computer: process.computer,
    distro: process.distro,
    cpu_brand: process.cpuBrand,
    parent_process_id: process.parentProcessId ?? null,
    start_time: formatRfc3339(process.startNs),
    last_block_end_time:
      summary.lastBlockEndNs === undefined ? null : formatRfc3339(summary.lastBlockEndNs),
    block_count: summary.blockCount,
    stream_count: summary.streamCount,
    span_stream_count: summary.cpuStreamCount,
    properties: process.properties,
  };
}

function parseSearch(value: unknown): string | undefined {
  if (value === undefined || value === '') return undefined;
  if (typeof value === 'string' && value.length <= SEARCH_CHARACTERS_MAX) return value;
  throw badParameter('search', `must be one text of at most ${SEARCH_CHARACTERS_MAX} characters`);
}

function parseLimit(value: unknown): number {
  if (value === undefined || value === '') return LIMIT_DEFAULT;
  const limit = typeof value === 'string' && /^\d{1,6}$/.test(value) ? Number(value) : 0;
  if (limit >= 1 && limit <= LIMIT_MAX) return limit;
  throw badParameter('limit', `must be a whole number from 1 to ${LIMIT_MAX}`);
}

function badParameter(name: string, rule: string): ExportError {
  return new ExportError('trace-export.bad-parameter', `${name} ${rule}`, {
    details: { parameter: name },
  });
}
