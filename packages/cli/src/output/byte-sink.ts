import path from 'node:path';
import type { CommandContext } from '../command.ts';
import { type FileSink, openWholeFile } from './whole-file.ts';

/** Where a command's bytes go: a file that is whole or absent, or stdout for "-". */
export async function openSink(output: string, context: CommandContext): Promise<FileSink> {
  if (output !== '-') return await openWholeFile(path.resolve(context.cwd, output));
  return {
    write: (bytes) => writeToStream(context.stdout, bytes, context.signal),
    commit: async () => {},
    [Symbol.asyncDispose]: async () => {},
  };
}

/** Waits until the stream has taken the bytes, so that a slow reader slows the sender. */
export function writeToStream(
  stream: NodeJS.WritableStream,
  bytes: Uint8Array | string,
  signal: AbortSignal,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    if (signal.aborted) return abort();
    signal.addEventListener('abort', abort, { once: true });
    stream.write(bytes, (error) => {
      signal.removeEventListener('abort', abort);
      if (error === null || error === undefined) resolve();
      else reject(error);
    });
  });
}
