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
import { cp, lutimes, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import {
  build,
  dockerDir,
  embeddedPostgresDir,
  inScratch,
  LABEL,
  type Log,
  pipe,
  pull,
  rootDir,
  run,
  storeDir,
} from './image-build.ts';
import { layOutBase } from './local-base.ts';
import { createSbom, type SbomRequest } from './sbom.ts';

const SERVICES = ['ingest', 'partition-materializer', 'trace-export', 'query'];
/** The command line: migrates, and helps operators inside a cluster. */
const CLI = 'cli';
const BASE = 'node:26-bookworm-slim';

/** What has an image of ours. */
export const COMPONENTS: readonly string[] = [...SERVICES, CLI];

export function imageOf(component: string, tag: string): string {
  return `tracelake-${component}:${tag}`;
}

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

/** Makes the base image and one image for each component: services, and `cli`. */
export async function buildServiceImages(
  options: ServiceImageOptions = {},
): Promise<ServiceImages> {
  const { tag = 'local', services = COMPONENTS, local = false, log = () => {} } = options;
  const base = await ensureBase({ tag, local, log });
  const images: Record<string, string> = {};
  for (const service of services) {
    images[service] = await buildService({ service, tag, base: base.image, log });
  }
  return { base: base.image, services: images, pulled: base.pulled };
}

async function ensureBase({ tag, local, log }: { tag: string; local: boolean; log: Log }) {
  if (!local && (await pull(BASE))) return { image: BASE, pulled: true };
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
  const image = imageOf(service, tag);
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
