/**
 * The bill of materials of an image, in CycloneDX 1.6: every npm package that the lockfile gives a project
 * for production, with its hash. A function of the lockfile alone, so the same lockfile gives the same bytes.
 */
import { createHash } from 'node:crypto';
import { parse } from 'yaml';

export interface SbomRequest {
  /** Text of pnpm-lock.yaml, version 9. */
  readonly lockfile: string;
  /** Directory of the project in the workspace, such as `services/ingest`. */
  readonly project: string;
  readonly name: string;
  readonly version: string;
}

export interface Sbom {
  readonly bomFormat: 'CycloneDX';
  readonly specVersion: '1.6';
  readonly serialNumber: string;
  readonly version: 1;
  readonly metadata: { readonly component: Component };
  readonly components: readonly Component[];
  readonly dependencies: readonly { readonly ref: string; readonly dependsOn: readonly string[] }[];
}

interface Component {
  readonly type: 'application' | 'library';
  readonly 'bom-ref': string;
  readonly name: string;
  readonly version: string;
  readonly purl?: string;
  /** `optional`: installed only where the platform is right. */
  readonly scope?: 'required' | 'optional';
  readonly hashes?: readonly { readonly alg: string; readonly content: string }[];
}

type Versions = Readonly<Record<string, string>>;

interface Lockfile {
  readonly importers: Readonly<
    Record<string, { readonly dependencies?: Readonly<Record<string, { version: string }>> }>
  >;
  readonly packages: Readonly<Record<string, { readonly resolution: { integrity?: string } }>>;
  readonly snapshots: Readonly<
    Record<string, { dependencies?: Versions; optionalDependencies?: Versions }>
  >;
}

/** Throws when the lockfile does not know the project or names a package that it does not describe. */
export function createSbom({ lockfile, project, name, version }: SbomRequest): Sbom {
  const lock = parse(lockfile) as Lockfile;
  const walk = new DependencyWalk(lock);
  const rootRef = `${name}@${version}`;
  walk.addProject(project, rootRef);
  const components = [...walk.libraries.values()].toSorted(byRef);
  const dependencies = [...walk.edges]
    .map(([ref, refs]) => ({ ref, dependsOn: [...refs].toSorted() }))
    .toSorted((first, second) => (first.ref < second.ref ? -1 : 1));
  const root: Component = { type: 'application', 'bom-ref': rootRef, name, version };
  return {
    bomFormat: 'CycloneDX',
    specVersion: '1.6',
    serialNumber: serialOf(JSON.stringify([root, components, dependencies])),
    version: 1,
    metadata: { component: root },
    components,
    dependencies,
  };
}

class DependencyWalk {
  readonly libraries = new Map<string, Component>();
  readonly edges = new Map<string, Set<string>>();
  readonly #lock: Lockfile;
  readonly #projects = new Set<string>();

  constructor(lock: Lockfile) {
    this.#lock = lock;
  }

  /** Other projects of the workspace are part of the application: what they need, it needs. */
  addProject(project: string, rootRef: string): void {
    if (this.#projects.has(project)) return;
    this.#projects.add(project);
    const importer = this.#lock.importers[project];
    if (importer === undefined) throw new Error(`the lockfile has no project ${project}`);
    for (const [name, { version }] of Object.entries(importer.dependencies ?? {})) {
      if (version.startsWith('link:')) {
        const linked = version.slice('link:'.length);
        this.addProject(new URL(linked, `file:///${project}/`).pathname.slice(1), rootRef);
      } else {
        this.#addEdge(rootRef, this.#addLibrary(name, version, 'required'));
      }
    }
  }

  #addLibrary(name: string, version: string, scope: 'required' | 'optional'): string {
    const key = `${name}@${version}`;
    const known = this.libraries.get(key);
    if (known !== undefined && (known.scope === 'required' || scope === 'optional')) return key;
    const plainVersion = version.replace(/\(.*$/, '');
    const described = this.#lock.packages[`${name}@${plainVersion}`];
    const snapshot = this.#lock.snapshots[key];
    if (described === undefined || snapshot === undefined) {
      throw new Error(`the lockfile does not describe ${key}`);
    }
    this.libraries.set(key, {
      type: 'library',
      'bom-ref': key,
      name,
      version: plainVersion,
      purl: `pkg:npm/${name.replace('@', '%40')}@${plainVersion}`,
      scope,
      hashes: hashesOf(described.resolution.integrity),
    });
    for (const [dependency, wanted] of Object.entries(snapshot.dependencies ?? {})) {
      this.#addEdge(key, this.#addLibrary(dependency, wanted, scope));
    }
    for (const [dependency, wanted] of Object.entries(snapshot.optionalDependencies ?? {})) {
      this.#addEdge(key, this.#addLibrary(dependency, wanted, 'optional'));
    }
    return key;
  }

  #addEdge(from: string, to: string): void {
    const refs = this.edges.get(from) ?? new Set();
    this.edges.set(from, refs.add(to));
  }
}

function hashesOf(integrity: string | undefined): { alg: string; content: string }[] {
  const [algorithm, base64] = (integrity ?? '').split('-');
  if (algorithm !== 'sha512' || base64 === undefined) return [];
  return [{ alg: 'SHA-512', content: Buffer.from(base64, 'base64').toString('hex') }];
}

function byRef(first: Component, second: Component): number {
  return first['bom-ref'] < second['bom-ref'] ? -1 : 1;
}

/** A UUID (version 8: made by a rule of our own) of the content. */
function serialOf(text: string): string {
  const hex = createHash('sha256').update(text).digest('hex');
  const variant = ((Number.parseInt(hex[16] ?? '0', 16) & 3) | 8).toString(16);
  const parts = [hex.slice(0, 8), hex.slice(8, 12), `8${hex.slice(13, 16)}`];
  return `urn:uuid:${[...parts, `${variant}${hex.slice(17, 20)}`, hex.slice(20, 32)].join('-')}`;
}
