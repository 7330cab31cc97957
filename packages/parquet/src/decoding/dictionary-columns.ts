/**
 * Columns of few distinct values: a dictionary and the places of rows in it. Texts of which most rows have one of their
 * own come without a dictionary, and get one here.
 */

import { ByteSource, DamagedBytes } from './byte-source.ts';
import { DeltaUnpacker } from './delta-unpacking.ts';
import { unpackIndices } from './index-unpacking.ts';
import { type ColumnPages, type StoredPage, useRawPage } from './page-reading.ts';

/** How the values of one kind of column are read. Errors, as all here: `DamagedBytes`. */
export interface ColumnKind<T> {
  /** Of pages that have a dictionary. */
  dictionary(pages: ColumnPages): T[];
  /** Puts each row's place into `places` and returns what stands there. */
  rows(pages: ColumnPages, places: Uint32Array, rowCount: number): T[];
}

/** Numbers of 32 bits without a sign. */
export const NUMBERS: ColumnKind<number> = {
  dictionary(pages) {
    const page = dictionaryOf(pages);
    return useRawPage(page, (raw) => {
      if (raw.length !== page.valueCount * 4) throw new DamagedBytes('has another dictionary');
      const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
      return Array.from({ length: page.valueCount }, (_, i) => view.getUint32(i * 4, true));
    });
  },
  rows(pages, places, rowCount) {
    unpackPlaces(pages, places, rowCount);
    return NUMBERS.dictionary(pages);
  },
};

const exactUtf8 = new TextDecoder('utf-8', { ignoreBOM: true });

export const TEXTS: ColumnKind<string> = {
  dictionary(pages) {
    const page = dictionaryOf(pages);
    return useRawPage(page, (raw) => {
      const source = new ByteSource(raw);
      if (page.valueCount * 4 > raw.length) throw new DamagedBytes('has another dictionary');
      const texts = Array.from({ length: page.valueCount }, () => {
        const length = Buffer.from(source.take(4)).readUInt32LE(0);
        return exactUtf8.decode(source.take(length));
      });
      if (source.left > 0) throw new DamagedBytes('has bytes behind its dictionary');
      return texts;
    });
  },
  rows(pages, places, rowCount) {
    if (pages.dictionary === undefined) return distinctTexts(pages.data, places, rowCount);
    unpackPlaces(pages, places, rowCount);
    return TEXTS.dictionary(pages);
  },
};

function unpackPlaces(pages: ColumnPages, places: Uint32Array, rowCount: number): void {
  const { valueCount } = dictionaryOf(pages);
  useRawPage(pages.data, (raw) => unpackIndices(raw, places, rowCount, valueCount));
}

/**
 * True where two columns have the same places in all rows, seen without unpacking them: places count by first use, so
 * that columns whose values change together have the same page.
 */
export function haveSamePlaces(a: ColumnPages, b: ColumnPages): boolean {
  return (
    a.dictionary?.valueCount !== undefined &&
    a.dictionary.valueCount === b.dictionary?.valueCount &&
    a.data.isCompressed === b.data.isCompressed &&
    Buffer.compare(a.data.body, b.data.body) === 0
  );
}

/** Lengths of all texts, then their bytes. */
function distinctTexts(page: StoredPage, places: Uint32Array, rowCount: number): string[] {
  return useRawPage(page, (raw) => {
    const lengths = new Int32Array(rowCount * 2);
    const source = new ByteSource(raw);
    source.take(new DeltaUnpacker().decodeFirst(raw, lengths, rowCount));
    const placeOf = new Map<string, number>();
    for (let row = 0; row < rowCount; row++) {
      if (lengths[row * 2 + 1] !== 0) throw new DamagedBytes('has a text too long');
      const text = exactUtf8.decode(source.take(lengths[row * 2] ?? 0));
      const place = placeOf.get(text) ?? placeOf.size;
      placeOf.set(text, place);
      places[row] = place;
    }
    if (source.left > 0) throw new DamagedBytes('has bytes behind its texts');
    return [...placeOf.keys()];
  });
}

function dictionaryOf({ dictionary }: ColumnPages): StoredPage {
  if (dictionary === undefined) throw new DamagedBytes('has no dictionary');
  return dictionary;
}
