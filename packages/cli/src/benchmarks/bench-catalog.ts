import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';

export interface ListedBench {
  /** What `npm run bench -- NAME` takes. */
  readonly name: string;
  /** The first sentence of its file. */
  readonly summary: string;
}

/** The benchmarks that a clone has beside those of this command; none where there is no clone. */
export async function listCloneBenches(cloneDir: string): Promise<readonly ListedBench[]> {
  const found: ListedBench[] = [];
  for (const dir of await benchDirs(cloneDir)) {
    const files = await readdir(dir).catch((): string[] => []);
    for (const file of files.filter((name) => name.endsWith('.bench.ts')).toSorted()) {
      const owner = path.relative(cloneDir, path.dirname(dir));
      const name = `${path.basename(owner)}/bench/${file.slice(0, -'.bench.ts'.length)}`;
      found.push({ name, summary: firstSentence(await readFile(path.join(dir, file), 'utf8')) });
    }
  }
  return found;
}

async function benchDirs(cloneDir: string): Promise<readonly string[]> {
  const owners = [path.join(cloneDir, 'e2e')];
  for (const parent of ['packages', 'services']) {
    const names = await readdir(path.join(cloneDir, parent)).catch((): string[] => []);
    owners.push(...names.toSorted().map((name) => path.join(cloneDir, parent, name)));
  }
  return owners.map((owner) => path.join(owner, 'bench'));
}

/** Of the comment that a file begins with. */
function firstSentence(source: string): string {
  const comment = /^\/\*\*([\s\S]*?)\*\//.exec(source)?.[1] ?? '';
  const text = comment
    .split('\n')
    .map((line) => line.replace(/^\s*\*?\s?/, ''))
    .join(' ')
    .replaceAll('`', '')
    .replaceAll(/\s+/g, ' ')
    .trim();
  return /^.*?[.:;](?=\s|$)/.exec(text)?.[0].slice(0, -1) ?? text;
}
