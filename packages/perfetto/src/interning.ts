/**
 * Names, categories and source locations are written once and then named by number. Numbers count from 1
 * in order of first use. Memory is bounded on both sides, here and in the reader of the trace: a full
 * table is dropped whole (`InternTable.generation` moves on) and the packet that starts the new one tells
 * the reader to clear its own.
 */

import { TextMap } from '@tracelake/domain';
import type { PackedBytes } from './proto-buffer.ts';

/** Where a span was written down in the program. */
export interface SliceScope {
  readonly name: string;
  /** The span's target. */
  readonly category: string;
  readonly file: string;
  readonly line: number;
}

/** Parts of a begin event around its track's uuid. */
export interface PackedScope {
  readonly beforeUuid: PackedBytes;
  readonly afterUuid: PackedBytes;
}

/** A scope with the numbers it has in one generation of the table. Made once per scope, not per span. */
export class InternedScope {
  readonly scope: SliceScope;
  generation = -1;
  nameIid = 0;
  categoryIid = 0;
  locationIid = 0;
  /** What the numbers look like in a slice's event, made when the general way has written it once. */
  packed: PackedScope | undefined;

  constructor(scope: SliceScope) {
    this.scope = scope;
  }
}

export interface InternLimits {
  /** Entries of the three tables together. */
  readonly entriesMax: number;
  /** UTF-8 bytes of their strings together; a single longer string still fits, alone. */
  readonly bytesMax: number;
}

export const defaultInternLimits: InternLimits = {
  entriesMax: 65_536,
  bytesMax: 8 * 1024 * 1024,
};

/** Which parts of a scope the reader has not seen yet in this generation. */
export interface NewDefinitions {
  /** The table was dropped: the packet must say that incremental state is cleared. */
  restarted: boolean;
  name: boolean;
  category: boolean;
  location: boolean;
}

export class InternTable {
  generation = 0;
  readonly #limits: InternLimits;
  #names = new TextMap<number>();
  #categories = new TextMap<number>();
  /** Keyed by `line:file`. */
  #locations = new TextMap<number>();
  #bytes = 0;

  constructor(limits: InternLimits = defaultInternLimits) {
    this.#limits = limits;
  }

  get entryCount(): number {
    return this.#names.size + this.#categories.size + this.#locations.size;
  }

  /** Gives `interned` its numbers of the current generation and says what must be defined for them. */
  resolve(interned: InternedScope): NewDefinitions {
    const { scope } = interned;
    const locationKey = `${scope.line}:${scope.file}`;
    const wanted = this.#missing(scope, locationKey);
    const bytes =
      (wanted.name ? Buffer.byteLength(scope.name) : 0) +
      (wanted.category ? Buffer.byteLength(scope.category) : 0) +
      (wanted.location ? Buffer.byteLength(scope.file) : 0);
    const entries = Number(wanted.name) + Number(wanted.category) + Number(wanted.location);
    const tooMany = this.entryCount + entries > this.#limits.entriesMax;
    const tooLarge = this.#bytes + bytes > this.#limits.bytesMax;
    if (this.entryCount > 0 && entries > 0 && (tooMany || tooLarge)) {
      this.#restart();
      return { ...this.resolve(interned), restarted: true };
    }
    this.#bytes += bytes;
    interned.nameIid = numberOf(this.#names, scope.name);
    interned.categoryIid = numberOf(this.#categories, scope.category);
    interned.locationIid = numberOf(this.#locations, locationKey);
    interned.generation = this.generation;
    interned.packed = undefined;
    return wanted;
  }

  #missing(scope: SliceScope, locationKey: string): NewDefinitions {
    return {
      restarted: false,
      name: this.#names.get(scope.name) === undefined,
      category: this.#categories.get(scope.category) === undefined,
      location: this.#locations.get(locationKey) === undefined,
    };
  }

  #restart(): void {
    this.generation += 1;
    this.#names = new TextMap();
    this.#categories = new TextMap();
    this.#locations = new TextMap();
    this.#bytes = 0;
  }
}

function numberOf(table: TextMap<number>, key: string): number {
  const known = table.get(key);
  if (known !== undefined) return known;
  const iid = table.size + 1;
  table.set(key, iid);
  return iid;
}
