/**
 * Makes a flame graph (SVG) of V8 CPU profiles, all threads of all processes of a run added up.
 *
 *   npm run bench:flame -- --out docs/flame-graphs/NAME.svg BENCH [OPTIONS of the benchmark]
 *
 * A frame's width is the time that it and what it called took. Left out are time that a thread waits (for the disk to
 * sync, too), frames of Node's own machinery, the loading of modules, and the test kit, which makes what is measured on.
 * Native code (zlib, DuckDB, a system call) shows as the function that called it.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const rootDir = path.dirname(import.meta.dirname);
const usage =
  'Usage: npm run bench:flame -- --out FILE.svg BENCH.bench.ts [OPTIONS of the benchmark]';
/** Frames narrower than this part of the whole are left out. */
const LEAST_SHARE = 0.004;
const ROW_HEIGHT = 17;
const WIDTH = 1200;
/** Frames under which a thread only waits. */
const IDLE = new Set(['(idle)', '(program)', 'fsync']);
/** What is under such a frame reads and links modules; running them is not. */
const LOADING = / node:internal\/modules\/(?:esm\/loader|esm\/translators|typescript|cjs\/loader)$/;

interface ProfileNode {
  readonly id: number;
  readonly callFrame: { readonly functionName: string; readonly url: string };
  readonly children?: readonly number[];
}

interface CpuProfile {
  readonly nodes: readonly ProfileNode[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

interface Frame {
  readonly label: string;
  readonly children: Map<string, Frame>;
  totalUs: number;
}

const [flag, out, bench, ...options] = process.argv.slice(2);
if (flag !== '--out' || out === undefined || bench === undefined) {
  console.error(usage);
  process.exitCode = 2;
} else {
  const profileDir = await mkdtemp(path.join(tmpdir(), 'tracelake-profiles-'));
  try {
    await profile(path.resolve(bench), options, profileDir);
    const root = await readProfiles(profileDir);
    await mkdir(path.dirname(out), { recursive: true });
    await writeFile(out, renderSvg(root, `${path.basename(bench)} ${options.join(' ')}`.trim()));
    console.log(`${out}: ${(root.totalUs / 1e6).toFixed(1)} s of busy threads`);
  } finally {
    await rm(profileDir, { recursive: true, force: true });
  }
}

async function profile(benchPath: string, args: readonly string[], profileDir: string) {
  // Through the environment, so that processes which the benchmark starts are in the picture.
  const NODE_OPTIONS = `--expose-gc --cpu-prof --cpu-prof-interval 500 --cpu-prof-dir=${profileDir}`;
  const child = spawn(process.execPath, [benchPath, ...args], {
    stdio: 'inherit',
    env: { ...process.env, NODE_OPTIONS },
  });
  const [status] = await once(child, 'exit');
  if (status !== 0) throw new Error(`the benchmark ended with ${status}`);
}

async function readProfiles(profileDir: string): Promise<Frame> {
  const root: Frame = { label: 'all threads', children: new Map(), totalUs: 0 };
  for (const name of await readdir(profileDir)) {
    if (!name.endsWith('.cpuprofile')) continue;
    addProfile(root, JSON.parse(await readFile(path.join(profileDir, name), 'utf8')));
  }
  if (root.totalUs === 0) throw new Error('the benchmark left no profile');
  return root;
}

function addProfile(root: Frame, { nodes, samples, timeDeltas }: CpuProfile): void {
  const selfUs = new Map<number, number>();
  for (const [index, id] of samples.entries()) {
    selfUs.set(id, (selfUs.get(id) ?? 0) + Math.max(0, timeDeltas[index] ?? 0));
  }
  const parents = new Map<number, number>();
  for (const { id, children = [] } of nodes) for (const child of children) parents.set(child, id);
  const byId = new Map(nodes.map((node) => [node.id, node]));
  for (const [id, us] of selfUs) {
    const stack: string[] = [];
    for (let at: number | undefined = id; at !== undefined; at = parents.get(at)) {
      const node = byId.get(at);
      if (node !== undefined) stack.unshift(labelOf(node));
    }
    if (stack.some(isLeftOut)) continue;
    addStack(
      root,
      stack.slice(1).filter((label) => !label.includes(' node:internal/')),
      us,
    );
  }
}

function isLeftOut(label: string): boolean {
  return IDLE.has(label) || LOADING.test(label) || label.includes(' packages/test-kit/');
}

function addStack(root: Frame, stack: readonly string[], us: number): void {
  let frame = root;
  frame.totalUs += us;
  for (const label of stack) {
    let next = frame.children.get(label);
    if (next === undefined) {
      next = { label, children: new Map(), totalUs: 0 };
      frame.children.set(label, next);
    }
    next.totalUs += us;
    frame = next;
  }
}

/** Function and file, from the workspace on: a profile names the machine's directories. */
function labelOf({ callFrame: { functionName, url } }: ProfileNode): string {
  const name = functionName === '' ? '(anonymous)' : functionName;
  if (url === '' || url.startsWith('node:')) return url === '' ? name : `${name} ${url}`;
  const file = url.startsWith('file:') ? fileURLToPath(url) : url;
  const inWorkspace = path.relative(rootDir, file);
  return inWorkspace.startsWith('node_modules') || inWorkspace.startsWith('..')
    ? `${name} (${path.basename(file)})`
    : `${name} ${inWorkspace}`;
}

function renderSvg(root: Frame, title: string): string {
  const boxes: string[] = [];
  let deepest = 0;
  const draw = (frame: Frame, x: number, depth: number) => {
    const width = (frame.totalUs / root.totalUs) * WIDTH;
    if (width < LEAST_SHARE * WIDTH) return;
    deepest = Math.max(deepest, depth);
    boxes.push(renderFrame(frame, { x, depth, width, share: frame.totalUs / root.totalUs }));
    let childX = x;
    const children = [...frame.children.values()].toSorted((a, b) => (a.label < b.label ? -1 : 1));
    for (const child of children) {
      draw(child, childX, depth + 1);
      childX += (child.totalUs / root.totalUs) * WIDTH;
    }
  };
  draw(root, 0, 0);
  const height = (deepest + 1) * ROW_HEIGHT + 24;
  const seconds = (root.totalUs / 1e6).toFixed(1);
  const heading = `${escaped(title)}: busy time of all threads, ${seconds} s`;
  const font = 'font-family="monospace" font-size="11"';
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" ${font}>`,
    `<title>${heading}</title>`,
    `<text x="4" y="14">${heading}</text>`,
    ...boxes,
    '</svg>\n',
  ].join('\n');
}

interface Placement {
  readonly x: number;
  readonly depth: number;
  readonly width: number;
  readonly share: number;
}

function renderFrame({ label }: Frame, { x, depth, width, share }: Placement): string {
  const y = 24 + depth * ROW_HEIGHT;
  const shown = label.slice(0, Math.floor(width / 6.7));
  const text =
    shown.length < 3
      ? ''
      : `<text x="${(x + 2).toFixed(1)}" y="${y + 12}">${escaped(shown)}</text>`;
  const title = `<title>${escaped(label)}: ${(share * 100).toFixed(1)} %</title>`;
  const size = `width="${width.toFixed(1)}" height="${ROW_HEIGHT - 1}"`;
  return `<g>${title}<rect x="${x.toFixed(1)}" y="${y}" ${size} fill="${colourOf(label)}"/>${text}</g>`;
}

/** The same part of the system has the same colour in every graph. */
function colourOf(label: string): string {
  const part = / (?:packages|services)\/([a-z-]+)/.exec(label)?.[1];
  if (label === '(garbage collector)') return '#c9c9c9';
  if (part === undefined) return '#e8dcc0';
  let hash = 0;
  for (const character of part) hash = (hash * 31 + (character.codePointAt(0) ?? 0)) % 360;
  return `hsl(${hash} 65% 78%)`;
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
