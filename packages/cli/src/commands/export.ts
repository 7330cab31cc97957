import path from 'node:path';
import { parseProcessId, systemClock } from '@tracelake/domain';
import { exitStatus, usageError } from '../cli-error.ts';
import { callService } from '../client/http-call.ts';
import { bodyOf } from '../client/response-body.ts';
import { readConnection } from '../client/service-endpoints.ts';
import {
  type Command,
  type CommandArguments,
  type CommandContext,
  connectionHelp,
  connectionOptions,
} from '../command.ts';
import { openSink } from '../output/byte-sink.ts';
import { handToPerfetto } from '../output/perfetto-handoff.ts';
import { Progress } from '../output/progress.ts';
import { readTimeArgument } from '../output/time-argument.ts';
import type { FileSink } from '../output/whole-file.ts';

const help = `Usage: tracelake export PROCESS_ID [options]

Writes the trace of one process as a file for the Perfetto UI or trace_processor.
Partitions that are missing or stale are built first. The file appears under its
name when it is whole; an interrupted or failed export leaves none.

  --spans KIND       both (default), thread or async
  --begin TIME       only spans that overlap the range; RFC 3339, or a time ago: 30s, 15m,
  --end TIME         1h, 2d. Default: the whole life of the process
  --compress HOW     none (default), or deflate: packets in compressed groups, a file several
                     times smaller that Perfetto opens as it is
  -o, --output FILE  where to (default: the name the service gives, here); "-" is stdout
  --open             then hand the file to the Perfetto UI (from 127.0.0.1:9001), or print
                     its path where there is no browser
${connectionHelp}

Examples:
  tracelake export 9d3b9a8e-6c1f-4c5b-8f3e-0a1b2c3d4e5f -o trace.pftrace
  tracelake export 9d3b9a8e-6c1f-4c5b-8f3e-0a1b2c3d4e5f --spans async --begin 1h --open
  tracelake export 9d3b9a8e-6c1f-4c5b-8f3e-0a1b2c3d4e5f --compress deflate -o game.pftrace

Exit status: 0 the file is whole, 1 failed, 2 bad command line, 130 interrupted.
`;

export const exportCommand: Command = {
  name: 'export',
  summary: "write a process's trace for Perfetto",
  help,
  options: {
    ...connectionOptions,
    spans: { type: 'string' },
    begin: { type: 'string' },
    end: { type: 'string' },
    compress: { type: 'string' },
    output: { type: 'string', short: 'o' },
    open: { type: 'boolean' },
  },
  run: runExport,
};

async function runExport(args: CommandArguments, context: CommandContext): Promise<number> {
  const request = readRequest(args);
  const output = args.text('output');
  if (output === '-' && args.flag('open')) throw usageError('--open needs a file, not "-o -"');
  // A file that cannot be written is better known before the trace is built than after.
  await using early = output === undefined ? undefined : await openSink(output, context);
  // From here, so that the time it says includes what had to be built first.
  const progress = new Progress({ stream: context.stderr });
  progress.wait('waiting for the trace; what is missing or stale is built first');
  const response = await callService(readConnection(args, context.env), {
    service: 'trace-export',
    path: request.path,
    signal: context.signal,
  }).finally(() => progress.end());
  const file = output ?? nameOf(response, request.processId);
  await using late = early === undefined ? await openSink(file, context) : undefined;
  const sink = early ?? late;
  if (sink === undefined) return exitStatus.failed;
  await transfer(response, sink, progress, context, file);
  if (args.flag('open')) await handToPerfetto(path.resolve(context.cwd, file), context);
  return exitStatus.ok;
}

function readRequest(args: CommandArguments): { processId: string; path: string } {
  const [text] = args.exactly('PROCESS_ID');
  const processId = parseProcessId(text);
  if (processId === undefined) {
    throw usageError(`"${text}" is not a process id; "tracelake processes" lists them`);
  }
  const query = new URLSearchParams();
  query.set('spans', args.oneOf('spans', ['both', 'thread', 'async']) ?? 'both');
  const compress = args.oneOf('compress', ['deflate', 'none']);
  if (compress !== undefined) query.set('compress', compress);
  const nowNs = systemClock.nowNs();
  for (const name of ['begin', 'end']) {
    const value = args.text(name);
    if (value !== undefined) query.set(name, readTimeArgument(`--${name}`, value, nowNs));
  }
  return { processId, path: `/v1/processes/${processId}/trace?${query}` };
}

/** The service's name for the file, as a plain name in the current directory. */
function nameOf(response: Response, processId: string): string {
  const disposition = response.headers.get('content-disposition') ?? '';
  const name = /filename="?([^";]+)"?/.exec(disposition)?.[1];
  const plain = path.basename(name ?? '').replaceAll(/[^\w.@-]/g, '_');
  return plain === '' || plain.startsWith('.') ? `${processId}.pftrace` : plain;
}

async function transfer(
  response: Response,
  sink: FileSink,
  progress: Progress,
  context: CommandContext,
  file: string,
): Promise<void> {
  const blocks = response.headers.get('tracelake-blocks-known');
  if (blocks !== null) progress.facts = `, ${blocks} blocks`;
  try {
    for await (const bytes of bodyOf(response, 'trace', context.signal)) {
      await sink.write(bytes);
      progress.add(bytes.byteLength);
    }
    context.signal.throwIfAborted();
    await sink.commit();
  } finally {
    progress.end();
  }
  context.stderr.write(`${file === '-' ? 'wrote' : `wrote ${file}:`} ${progress.summary()}\n`);
  const rejected = response.headers.get('tracelake-blocks-rejected') ?? '0';
  if (rejected !== '0') {
    context.stderr.write(
      `warning: ${rejected} block(s) could not be decoded and are not in the trace\n`,
    );
  }
}
