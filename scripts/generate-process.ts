/**
 * Writes a generated process as a directory that `tracelake replay` takes, sends it to an ingest, or both. One
 * block is held at a time.
 */
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import {
  GENERATED_BLOCK_EVENT_BYTES,
  type GeneratedProcess,
  type GeneratedProcessOptions,
  generateProcess,
  type IngestRequest,
} from '@tracelake/test-kit';

const help = `Usage: npm run bench:generate -- [options]

Makes a process as a native client would have sent it: its requests, with blocks in the
native format (CBOR, LZ4 frames). The same options give the same bytes, so that figures
of two machines are about the same work. Default: 2,100,000 spans of one thread (outer,
2 inner, 4 leaf: 7 per iteration) in 9 blocks of about 2.8 MB.

  --out DIR          write a recording for \`tracelake replay DIR\`; what DIR holds of an
                     earlier one is replaced (default .tracelake/generated)
  --url URL          send to this ingest instead, such as http://127.0.0.1:4318; with --out
                     both. An ingest that is overloaded (503) is tried again for a minute
  --api-key KEY      sent as "Authorization: Bearer KEY" (TRACELAKE_API_KEY)
  --spans N          thread spans, two events each (default 2100000, or 0 when another
                     kind is asked for)
  --async N          async spans, two events each, on two more threads
  --logs N           log entries; most are formatted and differ, one in ten has properties
  --measures N       measures; half of them integers, one in ten has properties
  --block-bytes N    end a block when its events reach N bytes before compression
                     (default ${GENERATED_BLOCK_EVENT_BYTES}: 233,400 thread spans of 34 bytes)
  --seed N           decides ids, times and values (default 1)

Examples:
  npm run bench:generate
  npm run bench:generate -- --spans 21000000 --url http://127.0.0.1:4318
  npm run bench:generate -- --logs 1000000 --block-bytes 1000000 --out /tmp/logs
`;

const RETRY_PAUSE_MS = 200;
const PATIENCE_MS = 60_000;
const REQUEST_TIMEOUT_MS = 60_000;

class UsageError extends Error {}

interface Settings {
  readonly options: GeneratedProcessOptions;
  readonly out: string | undefined;
  readonly url: string | undefined;
  readonly apiKey: string | undefined;
}

type Sink = (request: IngestRequest) => Promise<void>;

try {
  const settings = readSettings(process.argv.slice(2));
  if (settings === undefined) process.stdout.write(help);
  else await generate(settings);
} catch (error) {
  if (!(error instanceof UsageError)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 2;
}

function readSettings(args: string[]): Settings | undefined {
  const text = { type: 'string' } as const;
  const flag = { type: 'boolean', short: 'h' } as const;
  const options = {
    ...{ out: text, url: text, 'api-key': text, spans: text, async: text, logs: text },
    ...{ measures: text, 'block-bytes': text, seed: text, help: flag },
  } as const;
  const values = parseOrExplain(() => parseArgs({ args, options }).values);
  if (values.help === true) return undefined;
  const { url } = values;
  if (url !== undefined && !URL.canParse(url)) throw new UsageError(`--url: "${url}" is no URL`);
  const others = {
    asyncSpans: wholeNumber('async', values.async, 0),
    logEntries: wholeNumber('logs', values.logs, 0),
    measures: wholeNumber('measures', values.measures, 0),
  };
  const isOther = Object.values(others).some((count) => count > 0);
  const threadSpans = wholeNumber('spans', values.spans, isOther ? 0 : 2_100_000);
  const seed = wholeNumber('seed', values.seed, 1);
  const blockEventBytes = wholeNumber(
    'block-bytes',
    values['block-bytes'],
    GENERATED_BLOCK_EVENT_BYTES,
  );
  const defaultOut = url === undefined ? '.tracelake/generated' : undefined;
  return {
    options: { ...others, threadSpans, seed, blockEventBytes },
    out: values.out ?? defaultOut,
    url: url?.replace(/\/+$/, ''),
    apiKey: values['api-key'] ?? process.env.TRACELAKE_API_KEY,
  };
}

function parseOrExplain<Value>(parse: () => Value): Value {
  try {
    return parse();
  } catch (error) {
    throw new UsageError(`${(error as Error).message}\n(--help lists the options)`);
  }
}

function wholeNumber(name: string, text: string | undefined, byDefault: number): number {
  if (text === undefined) return byDefault;
  if (/^\d{1,10}$/.test(text)) return Number(text);
  throw new UsageError(`--${name} must be a whole number of at most 10 digits, not "${text}"`);
}

async function generate({ options, out, url, apiKey }: Settings): Promise<void> {
  const generated = generateProcess(options);
  const recording = out === undefined ? undefined : await openRecording(out, generated);
  const sinks: Sink[] = [];
  if (recording !== undefined) sinks.push(recording.write);
  if (url !== undefined) sinks.push((request) => post(request, url, apiKey));
  let requestCount = 0;
  let byteCount = 0;
  for (const request of generated) {
    for (const sink of sinks) await sink(request);
    requestCount += 1;
    byteCount += request.body.length;
  }
  await recording?.close();
  const size = `${requestCount} requests, ${(byteCount / 1e6).toFixed(1)} MB`;
  const places = [out, url].filter((place) => place !== undefined).join(' and ');
  process.stderr.write(`process ${generated.processId}: ${size} to ${places}\n`);
  process.stdout.write(`${generated.processId}\n`);
}

interface OpenRecording {
  readonly write: Sink;
  close(): Promise<void>;
}

async function openRecording(
  directory: string,
  { processId }: GeneratedProcess,
): Promise<OpenRecording> {
  const requests = path.join(directory, 'requests');
  await rm(requests, { recursive: true, force: true });
  await mkdir(requests, { recursive: true });
  await writeFile(path.join(directory, 'process_id'), `${processId}\n`);
  const index = createWriteStream(path.join(requests, 'index.jsonl'));
  let number = 0;
  return {
    write: async ({ path: target, body }) => {
      number += 1;
      const file = `${String(number).padStart(4, '0')}.${path.basename(target)}.cbor`;
      await writeFile(path.join(requests, file), body);
      const line = { file, method: 'POST', path: target, bytes: body.length };
      if (!index.write(`${JSON.stringify(line)}\n`)) await once(index, 'drain');
    },
    close: async () => {
      index.end();
      await once(index, 'finish');
    },
  };
}

async function post(
  request: IngestRequest,
  url: string,
  apiKey: string | undefined,
): Promise<void> {
  const deadlineMs = Date.now() + PATIENCE_MS;
  for (;;) {
    const response = await fetch(`${url}${request.path}`, {
      method: 'POST',
      headers: {
        'content-type': 'application/octet-stream',
        ...(apiKey !== undefined && { authorization: `Bearer ${apiKey}` }),
      },
      body: Buffer.from(request.body),
      signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
    });
    const answer = await response.text();
    if (response.ok) return;
    if (response.status !== 503 || Date.now() > deadlineMs) {
      throw new Error(`${url}${request.path} answered ${response.status}: ${answer.slice(0, 500)}`);
    }
    await delay(RETRY_PAUSE_MS);
  }
}
