/**
 * A real S3 server for tests: moto from PyPI in an environment of its own below the temp directory, or the one of
 * `TRACELAKE_TEST_S3_ENDPOINT`. It is never a condition of a test run: where it cannot be had the reason is
 * returned, for the test to report itself as skipped.
 */
import { execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { guardAgainstParentDeath } from '@tracelake/local-servers';

export interface TestS3 extends AsyncDisposable {
  /** `s3://bucket/prefix`; nothing else is below the prefix. */
  readonly url: string;
  readonly endpoint: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

export interface UnavailableS3 {
  /** Why there is no S3 server, for a skipped test to say. */
  readonly unavailable: string;
}

const PACKAGES = ['moto[s3]==5.2.5', 'flask', 'flask-cors'];
const INSTALL_TIMEOUT_MS = 300_000;
const START_TIMEOUT_MS = 60_000;

export async function startTestS3(): Promise<TestS3 | UnavailableS3> {
  const endpoint = process.env.TRACELAKE_TEST_S3_ENDPOINT;
  if (endpoint !== undefined) return givenServer(endpoint);
  try {
    return await startMoto(await ensureMoto());
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return { unavailable: `moto could not be installed or started: ${reason.slice(0, 500)}` };
  }
}

function givenServer(endpoint: string): TestS3 | UnavailableS3 {
  const bucket = process.env.TRACELAKE_TEST_S3_BUCKET;
  if (bucket === undefined) {
    return { unavailable: 'TRACELAKE_TEST_S3_ENDPOINT needs TRACELAKE_TEST_S3_BUCKET beside it' };
  }
  return {
    url: `s3://${bucket}/tracelake-test-${randomBytes(8).toString('hex')}`,
    endpoint,
    accessKeyId: process.env.AWS_ACCESS_KEY_ID ?? 'test',
    secretAccessKey: process.env.AWS_SECRET_ACCESS_KEY ?? 'test',
    [Symbol.asyncDispose]: async () => {},
  };
}

/** Installs once a machine; resolves with the Python that has moto, or throws why there is none. */
export async function ensureMoto(): Promise<string> {
  const directory = join(tmpdir(), `tracelake-test-moto-5.2.5-${process.geteuid?.() ?? 0}`);
  const complete = join(directory, 'complete');
  const python = join(directory, 'bin', 'python');
  const deadline = Date.now() + INSTALL_TIMEOUT_MS;
  for (;;) {
    if (await isOwn(complete)) return python;
    const lock = await tryLock(`${directory}.lock`);
    if (lock !== undefined) {
      await using _ = lock;
      if (await isOwn(complete)) return python;
      await rm(directory, { recursive: true, force: true });
      const run = promisify(execFile);
      await run('python3', ['-m', 'venv', directory], { timeout: 60_000 });
      // Where nothing answers, pip's own patience would take many minutes.
      const patience = ['--retries', '1', '--timeout', '60'];
      const options = ['-q', '--disable-pip-version-check', '--no-input', ...patience];
      await run(python, ['-m', 'pip', 'install', ...options, ...PACKAGES], {
        timeout: INSTALL_TIMEOUT_MS,
      });
      await writeFile(complete, '');
      return python;
    }
    if (Date.now() > deadline) throw new Error('another process has been installing for too long');
    await delay(500);
  }
}

/** What another user put below the temp directory is not run. */
async function isOwn(path: string): Promise<boolean> {
  const stats = await stat(path).catch(() => undefined);
  return stats !== undefined && stats.uid === process.geteuid?.();
}

async function tryLock(path: string): Promise<AsyncDisposable | undefined> {
  try {
    await mkdir(path);
  } catch {
    const stats = await stat(path).catch(() => undefined);
    // Its holder was killed.
    if (stats !== undefined && Date.now() - stats.mtimeMs > INSTALL_TIMEOUT_MS) {
      await rm(path, { recursive: true, force: true });
    }
    return undefined;
  }
  return { [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

async function startMoto(python: string): Promise<TestS3> {
  const port = await findFreePort();
  const endpoint = `http://127.0.0.1:${port}`;
  const child = spawn(python, ['-m', 'moto.server', '-H', '127.0.0.1', '-p', String(port)], {
    detached: true,
    stdio: 'ignore',
  });
  const exited = new Promise<void>((resolve) => {
    child.once('exit', () => resolve());
    child.once('error', () => resolve());
  });
  const guard = guardAgainstParentDeath({ pid: child.pid ?? 0, signal: 'TERM' });
  child.unref();
  const stop = async () => {
    child.ref();
    child.kill('SIGTERM');
    await exited;
    guard[Symbol.dispose]();
  };
  try {
    await createBucket(endpoint, 'lake');
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    url: 's3://lake/prefix',
    endpoint,
    accessKeyId: 'test',
    secretAccessKey: 'test',
    [Symbol.asyncDispose]: stop,
  };
}

async function createBucket(endpoint: string, bucket: string): Promise<void> {
  const deadline = Date.now() + START_TIMEOUT_MS;
  for (;;) {
    const response = await fetch(`${endpoint}/${bucket}`, { method: 'PUT' }).catch(() => undefined);
    await response?.body?.cancel();
    if (response?.ok) return;
    if (Date.now() > deadline) throw new Error(`moto did not make a bucket (${response?.status})`);
    await delay(100);
  }
}

function findFreePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address();
      probe.close(() =>
        resolve(typeof address === 'object' && address !== null ? address.port : 0),
      );
    });
  });
}
