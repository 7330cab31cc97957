/** A recording: the requests a real client sent, as files with an index in their order. */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { CliError } from '../cli-error.ts';

export interface RecordedRequest {
  readonly file: string;
  readonly path: string;
  readonly method: string;
}

export interface Recording {
  readonly directory: string;
  /** Undefined when the recording does not name its process. */
  readonly processId: string | undefined;
  readonly requests: readonly RecordedRequest[];
}

const ingestionPath = /^\/ingestion\/(?:insert_process|insert_stream|insert_block)$/;

/** Reads `DIR/requests/index.jsonl` (or `DIR/index.jsonl`). Throws `cli.file` saying what is wrong. */
export async function readRecording(directory: string): Promise<Recording> {
  const requestsDir = await findRequestsDir(directory);
  const lines = (await readFile(path.join(requestsDir, 'index.jsonl'), 'utf8')).split('\n');
  const requests = lines
    .map((line, index) => ({ line: line.trim(), number: index + 1 }))
    .filter(({ line }) => line !== '')
    .map(({ line, number }) => parseIndexLine(line, number, requestsDir));
  const processId = await readFile(path.join(directory, 'process_id'), 'utf8').catch(() => '');
  return { directory, processId: processId.trim() || undefined, requests };
}

async function findRequestsDir(directory: string): Promise<string> {
  for (const candidate of [path.join(directory, 'requests'), directory]) {
    const found = await readFile(path.join(candidate, 'index.jsonl')).catch(() => undefined);
    if (found !== undefined) return candidate;
  }
  throw new CliError(
    'cli.file',
    `${directory} is not a recording: it has no requests/index.jsonl that can be read`,
  );
}

function parseIndexLine(line: string, number: number, requestsDir: string): RecordedRequest {
  let entry: { file?: unknown; method?: unknown; path?: unknown };
  try {
    entry = JSON.parse(line) as typeof entry;
  } catch (cause) {
    throw new CliError('cli.file', `index.jsonl line ${number} is not JSON`, { cause });
  }
  const { file, method = 'POST', path: target } = entry;
  if (typeof file !== 'string' || typeof method !== 'string' || typeof target !== 'string') {
    throw new CliError('cli.file', `index.jsonl line ${number} needs "file", "method" and "path"`);
  }
  if (!ingestionPath.test(target)) {
    throw new CliError('cli.file', `index.jsonl line ${number}: "${target}" is no ingestion path`);
  }
  const absolute = path.resolve(requestsDir, file);
  if (!absolute.startsWith(path.resolve(requestsDir) + path.sep)) {
    throw new CliError('cli.file', `index.jsonl line ${number}: "${file}" leaves the recording`);
  }
  return { file: absolute, method, path: target };
}
