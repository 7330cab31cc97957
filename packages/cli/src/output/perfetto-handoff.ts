/**
 * Hands a finished trace to the Perfetto UI: the page runs in the browser and fetches the file from
 * 127.0.0.1:9001, the one local address its content policy accepts; nothing leaves the machine.
 */
import { spawn } from 'node:child_process';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { CommandContext } from '../command.ts';

const uiOrigin = 'https://ui.perfetto.dev';
const handoffPort = 9001;
const handoffWaitMs = 5 * 60_000;

export interface HandoffOptions {
  readonly port?: number;
  /** Starts a browser on a page; gives false where there is none. */
  readonly openBrowser?: (url: string) => boolean;
  readonly waitMs?: number;
}

/** Serves the file until the UI has fetched it once; where that cannot be, prints what to open by hand. */
export async function handToPerfetto(
  file: string,
  context: CommandContext,
  options: HandoffOptions = {},
): Promise<void> {
  const port = options.port ?? handoffPort;
  const openBrowser = options.openBrowser ?? ((url) => startBrowser(url, context.env));
  const byHand = `open ${uiOrigin} and choose the file ${file}\n`;
  const fetched = Promise.withResolvers<boolean>();
  const server = createServer((request, response) => {
    answer(request, response, file).then((isWhole) => {
      if (isWhole) fetched.resolve(true);
    }, fetched.reject);
  });
  if (!(await listen(server, port))) {
    context.stderr.write(`port ${port} is busy, so the file cannot be handed over: ${byHand}`);
    return;
  }
  const page = `${uiOrigin}/#!/?url=http://127.0.0.1:${port}/${encodeURIComponent(path.basename(file))}`;
  if (!openBrowser(page)) {
    await close(server);
    context.stderr.write(`there is no browser to start here: ${byHand}`);
    return;
  }
  context.stderr.write(
    `opening ${page}\nwaiting for the page to fetch the trace (Ctrl-C to stop)\n`,
  );
  const timer = setTimeout(() => fetched.resolve(false), options.waitMs ?? handoffWaitMs);
  const abort = () => fetched.reject(context.signal.reason);
  context.signal.addEventListener('abort', abort, { once: true });
  try {
    const isFetched = await fetched.promise;
    context.stderr.write(isFetched ? 'the Perfetto UI has the trace\n' : `nothing came: ${byHand}`);
  } finally {
    clearTimeout(timer);
    context.signal.removeEventListener('abort', abort);
    await close(server);
  }
}

/** Answers one request; true once the whole file has gone to the UI. */
async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  file: string,
): Promise<boolean> {
  response.setHeader('access-control-allow-origin', uiOrigin);
  response.setHeader('access-control-allow-private-network', 'true');
  response.setHeader('cache-control', 'no-store');
  if (request.method === 'OPTIONS') {
    response.writeHead(204, { 'access-control-allow-methods': 'GET' }).end();
    return false;
  }
  const isFile = request.url === `/${encodeURIComponent(path.basename(file))}`;
  if ((request.method !== 'GET' && request.method !== 'HEAD') || !isFile) {
    response.writeHead(404).end();
    return false;
  }
  const { size } = await stat(file);
  response.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': size });
  if (request.method === 'HEAD') {
    response.end();
    return false;
  }
  // A page that is reloaded while it fetches asks again.
  return await pipeline(createReadStream(file), response).then(
    () => true,
    () => false,
  );
}

function listen(server: ReturnType<typeof createServer>, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => resolve(true));
  });
}

function close(server: ReturnType<typeof createServer>): Promise<void> {
  server.closeAllConnections();
  return new Promise((resolve) => {
    server.close(() => resolve());
  });
}

function startBrowser(url: string, env: CommandContext['env']): boolean {
  const isMac = process.platform === 'darwin';
  const hasDisplay = isMac || env.DISPLAY !== undefined || env.WAYLAND_DISPLAY !== undefined;
  if (!hasDisplay) return false;
  const child = spawn(isMac ? 'open' : 'xdg-open', [url], { stdio: 'ignore', detached: true });
  // Without the opener the page's address, which is printed, still works.
  child.on('error', () => {});
  child.unref();
  return true;
}
