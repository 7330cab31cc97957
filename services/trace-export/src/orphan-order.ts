/**
 * The order in which spans that begin with their chain must be placed. A chain may open with ends whose
 * begins are missing: each gave a span from the chain's begin, and an inner one (ended first, so with the
 * smaller id) comes before the outer one that holds it. They go first, the longest before the others.
 */

/** More rows than this that begin at one time are taken as they come. */
const LOOK_AHEAD_ROWS = 4096;

/** What the order depends on; times are Unix nanoseconds. */
export interface OrderedRow {
  readonly id: bigint;
  readonly depth: number;
  readonly begin: bigint;
  readonly end: bigint;
  readonly open: boolean;
}

interface Chain {
  readonly begin: bigint;
  readonly end: bigint;
}

/**
 * Passes rows on, those of a chain's first moment in the order above. Feed rows in order of (begin, id),
 * the depth-0 row of each chain included: it opens the chain and is not passed on.
 */
export class OrphanOrder<Row extends OrderedRow> {
  readonly #emit: (row: Row) => void;
  #chain: Chain | undefined;
  #held: Row[] = [];

  constructor(emit: (row: Row) => void) {
    this.#emit = emit;
  }

  /** True while rows are held back: then every row must come through `push`. */
  get isCollecting(): boolean {
    return this.#chain !== undefined;
  }

  /** Opens a chain with its depth-0 row. */
  openChain(begin: bigint, end: bigint): void {
    this.flush();
    this.#chain = { begin, end };
  }

  push(row: Row): void {
    const atBegin = this.#chain !== undefined && row.begin === this.#chain.begin;
    if (atBegin && this.#held.length < LOOK_AHEAD_ROWS) {
      this.#held.push(row);
      return;
    }
    this.flush();
    this.#emit(row);
  }

  /** Passes on what is held; the chain's first moment is over. */
  flush(): void {
    const chain = this.#chain;
    const held = this.#held;
    this.#chain = undefined;
    this.#held = [];
    if (chain === undefined || held.length === 0) return;
    const orphans = held.filter((row) => isOrphan(row, chain));
    orphans.sort((a, b) => (a.end === b.end ? compare(a.id, b.id) : compare(b.end, a.end)));
    for (const row of orphans) this.#emit(row);
    for (const row of held) if (!isOrphan(row, chain)) this.#emit(row);
  }
}

/** A span that never ended has the chain's end; one that never began has an end of its own. */
function isOrphan(row: OrderedRow, chain: Chain): boolean {
  return row.open && row.depth === 1 && row.end !== chain.end;
}

function compare(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
