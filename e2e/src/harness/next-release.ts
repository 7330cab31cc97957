/**
 * A release after this one, made of this repository's code: another schema of two views (the present one is still
 * built, as a release that changes a view must), a migration that only adds, and a bus message with a field
 * more. It runs beside the present release on the same lake.
 */

import assert from 'node:assert/strict';
import { cp, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const rootDir = join(import.meta.dirname, '../../..');
const VIEWS_DIR = 'packages/lakehouse/src/views';
const MIGRATIONS_DIR = 'packages/storage/src/postgres/migrations';
/** One that folds and one that is eager. */
const CHANGED_VIEWS = ['thread-spans', 'log-entries'];

export interface Release extends AsyncDisposable {
  readonly workspaceDir: string;
}

export async function stageNextRelease(): Promise<Release> {
  const workspaceDir = await mkdtemp(join(tmpdir(), 'tracelake-next-'));
  const release = {
    workspaceDir,
    [Symbol.asyncDispose]: () => rm(workspaceDir, { recursive: true, force: true }),
  };
  try {
    await copyWorkspace(workspaceDir);
    await changeViews(workspaceDir);
    await addMigration(workspaceDir);
    await addMessageField(workspaceDir);
    return release;
  } catch (error) {
    await release[Symbol.asyncDispose]();
    throw error;
  }
}

/** Links inside the workspace stay inside the copy; what is installed is shared. */
async function copyWorkspace(workspaceDir: string): Promise<void> {
  await symlink(join(rootDir, 'node_modules'), join(workspaceDir, 'node_modules'));
  await cp(join(rootDir, 'package.json'), join(workspaceDir, 'package.json'));
  for (const parent of ['packages', 'services']) {
    await cp(join(rootDir, parent), join(workspaceDir, parent), {
      recursive: true,
      verbatimSymlinks: true,
      filter: (source) => !/\.test\.ts$|\/(?:fixtures|bench)$/.test(source),
    });
  }
}

async function changeViews(workspaceDir: string): Promise<void> {
  const earlier: string[] = [];
  for (const name of CHANGED_VIEWS) {
    const file = join(workspaceDir, VIEWS_DIR, `${name}.ts`);
    await cp(file, join(workspaceDir, VIEWS_DIR, `${name}-before.ts`));
    await change(file, /schemaVersion: (\d+)/, (_, version) => {
      return `schemaVersion: ${Number(version) + 1}`;
    });
    earlier.push(name);
  }
  const imports = earlier.map(
    (name, place) => `import { view as before${place} } from './views/${name}-before.ts';\n`,
  );
  const list = earlier.map((_, place) => `before${place}`).join(', ');
  const registry = join(workspaceDir, 'packages/lakehouse/src/view-registry.ts');
  await change(
    registry,
    /const EARLIER_VIEWS: readonly ViewSet\[\] = \[\];/,
    () => `const EARLIER_VIEWS: readonly ViewSet[] = [${list}];`,
  );
  await change(registry, /^/, () => imports.join(''));
}

async function addMigration(workspaceDir: string): Promise<void> {
  const dir = join(workspaceDir, MIGRATIONS_DIR);
  const newest = Math.max(...(await readdir(dir)).map((name) => Number(name.slice(0, 4))));
  const number = String(newest + 1).padStart(4, '0');
  await writeFile(
    join(dir, `${number}_next_release.sql`),
    `-- works with code of schema version ${newest} on\n` +
      'ALTER TABLE blocks ADD COLUMN next_release_note text;\n',
  );
}

async function addMessageField(workspaceDir: string): Promise<void> {
  const bus = join(workspaceDir, 'packages/bus/src');
  await change(
    join(bus, 'message-schemas.ts'),
    /(message BlockInserted \{)/,
    (_, line) => `${line}\n  string next_release_note = 15;`,
  );
  await change(
    join(bus, 'message-codec.ts'),
    /(object_count: message\.objectCount,)/,
    (_, line) => `${line}\n        next_release_note: 'more',`,
  );
}

async function change(
  file: string,
  pattern: RegExp,
  replacer: (match: string, group: string) => string,
): Promise<void> {
  const text = await readFile(file, 'utf8');
  const changed = text.replace(pattern, replacer);
  assert.notEqual(changed, text, `nothing to change in ${file}`);
  await writeFile(file, changed);
}
