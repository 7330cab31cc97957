/**
 * The call tree by another road, to compare with: all events of a stream at once, nodes as objects with children,
 * rows by a recursive walk. It shares no code with the fold.
 */

export interface OracleEvent {
  readonly id: bigint;
  readonly timeNs: bigint;
  readonly kind: 'begin' | 'end';
  readonly name: string;
  readonly line: number;
}

export interface OracleBlock {
  readonly beginNs: bigint;
  readonly endNs: bigint;
  readonly events: readonly OracleEvent[];
}

export interface OracleRow {
  readonly id: bigint;
  readonly parent: bigint;
  readonly depth: number;
  readonly begin: bigint;
  readonly end: bigint;
  readonly name: string;
  readonly line: number;
  readonly open: boolean;
}

interface Node {
  readonly id: bigint;
  readonly name: string;
  readonly line: number;
  readonly begin: bigint;
  end: bigint | undefined;
  readonly children: Node[];
}

/** `blocks` in stream order; gaps between them end a chain. */
export function oracleRows(blocks: readonly OracleBlock[], threadName: string): OracleRow[] {
  return chainsOf(blocks).flatMap((chain) => rowsOfChain(chain, threadName));
}

function chainsOf(blocks: readonly OracleBlock[]): OracleBlock[][] {
  const [first, ...rest] = blocks;
  if (first === undefined) return [];
  let length = 1;
  let end = first.endNs;
  for (const block of rest) {
    if (block.beginNs > end) break;
    if (block.endNs > end) end = block.endNs;
    length++;
  }
  return [blocks.slice(0, length), ...chainsOf(blocks.slice(length))];
}

function rowsOfChain(chain: readonly OracleBlock[], threadName: string): OracleRow[] {
  const events = chain.flatMap((block) => block.events);
  if (events.length === 0) return [];
  const beginNs = chain[0]?.beginNs ?? 0n;
  const endNs = chain.reduce((max, block) => (block.endNs > max ? block.endNs : max), beginNs);
  const top: Node[] = [];
  const orphans: OracleRow[] = [];
  // The path from the outermost to the innermost open span. A span that closes under others leaves the path, but
  // those above it were its children when they began and stay so.
  let path: Node[] = [];
  for (const { id, timeNs, kind, name, line } of events) {
    if (kind === 'begin') {
      const node: Node = { id, name, line, begin: timeNs, end: undefined, children: [] };
      (path.at(-1)?.children ?? top).push(node);
      path = [...path, node];
      continue;
    }
    const closed = path.findLast((node) => node.name === name && node.line === line);
    if (closed === undefined) {
      const begin = timeNs < beginNs ? timeNs : beginNs;
      orphans.push({ id, parent: -1n, depth: 1, begin, end: timeNs, name, line, open: true });
      continue;
    }
    closed.end = timeNs;
    path = path.filter((node) => node !== closed);
  }
  const thread = { name: threadName, line: 0, begin: beginNs, end: endNs, open: false };
  const walk = (node: Node, parent: bigint, depth: number): OracleRow[] => {
    const { id, name, line, begin } = node;
    const end = node.end ?? (begin > endNs ? begin : endNs);
    const row = { id, parent, depth, begin, end, name, line, open: node.end === undefined };
    return [row, ...node.children.flatMap((child) => walk(child, id, depth + 1))];
  };
  return [
    { id: -1n, parent: 0n, depth: 0, ...thread },
    ...top.flatMap((node) => walk(node, -1n, 1)),
    ...orphans,
  ];
}
