/**
 * The open spans of a thread, outermost first. Slot `n` holds a span of depth `n + 1`. Closing a span under
 * others leaves its slot empty until those above it have closed, so depths never change and every step takes
 * constant time, whatever a client sends: the open spans of one scope are linked, the innermost first.
 */

const NONE = -1;

export class OpenSpanStack {
  /** Slots in use, empty ones included; the topmost is never empty. */
  size = 0;
  #row = new Int32Array(64);
  #scope = new Int32Array(64);
  /** The next slot outward with the same scope. */
  #outer = new Int32Array(64);
  /** The innermost slot of each scope. */
  #innermost = new Int32Array(64).fill(NONE);

  /** The row of the innermost open span, -1 when there is none. */
  topRow(): number {
    return this.size === 0 ? NONE : (this.#row[this.size - 1] ?? NONE);
  }

  /** The row in a slot, -1 when the slot is empty. */
  rowAt(slot: number): number {
    return this.#row[slot] ?? NONE;
  }

  /** The rows stand at other places now: those of open spans from `first` on, in the order they had. */
  renumberRows(first: number): void {
    let next = first;
    for (let slot = 0; slot < this.size; slot++) {
      if (this.#row[slot] !== NONE) this.#row[slot] = next++;
    }
  }

  push(row: number, scope: number): void {
    if (this.size === this.#row.length) this.#grow();
    if (scope >= this.#innermost.length) this.#growScopes(scope);
    const slot = this.size++;
    this.#row[slot] = row;
    this.#scope[slot] = scope;
    this.#outer[slot] = this.#innermost[scope] ?? NONE;
    this.#innermost[scope] = slot;
  }

  /** Leaves slots empty up to `size`. */
  skipTo(size: number): void {
    while (this.size < size) {
      if (this.size === this.#row.length) this.#grow();
      this.#row[this.size++] = NONE;
    }
  }

  /** The slot of the innermost open span of a scope, -1 when there is none. */
  innermostOf(scope: number): number {
    return this.#innermost[scope] ?? NONE;
  }

  /** Takes out the innermost span of its scope. */
  remove(slot: number): void {
    this.#innermost[this.#scope[slot] ?? 0] = this.#outer[slot] ?? NONE;
    this.#row[slot] = NONE;
    while (this.size > 0 && this.#row[this.size - 1] === NONE) this.size--;
  }

  clear(): void {
    this.size = 0;
    this.#innermost.fill(NONE);
  }

  #grow(): void {
    const capacity = this.#row.length * 2;
    this.#row = grown(this.#row, capacity);
    this.#scope = grown(this.#scope, capacity);
    this.#outer = grown(this.#outer, capacity);
  }

  #growScopes(scope: number): void {
    const from = this.#innermost;
    this.#innermost = grown(from, Math.max(from.length * 2, scope + 1));
    this.#innermost.fill(NONE, from.length);
  }
}

function grown(from: Int32Array<ArrayBuffer>, capacity: number): Int32Array<ArrayBuffer> {
  const to = new Int32Array(capacity);
  to.set(from);
  return to;
}
