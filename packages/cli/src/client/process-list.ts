import { CliError } from '../cli-error.ts';
import { callForJson } from './http-call.ts';
import type { Connection } from './service-endpoints.ts';

/** A row of trace-export's process list; unknown fields are kept for `--json`. */
export interface ListedProcess {
  readonly process_id: string;
  readonly exe?: string;
  readonly computer?: string;
  readonly start_time?: string | null;
  readonly last_block_end_time?: string | null;
  readonly block_count?: number | string | null;
}

export interface ListOptions {
  readonly limit: number;
  readonly search?: string;
  readonly signal: AbortSignal;
}

/** The processes of the lake, the newest first. */
export async function listProcesses(
  connection: Connection,
  options: ListOptions,
): Promise<ListedProcess[]> {
  const query = new URLSearchParams({ limit: String(options.limit) });
  if (options.search !== undefined) query.set('search', options.search);
  const answer = await callForJson(connection, {
    service: 'trace-export',
    path: `/v1/processes?${query}`,
    signal: options.signal,
  });
  const { processes } = (answer ?? {}) as { processes?: unknown };
  if (!Array.isArray(processes) || !processes.every(isListedProcess)) {
    throw new CliError('cli.bad-answer', 'trace-export answered without a list of processes');
  }
  return processes;
}

function isListedProcess(value: unknown): value is ListedProcess {
  return (
    typeof value === 'object' &&
    value !== null &&
    'process_id' in value &&
    typeof value.process_id === 'string'
  );
}
