/**
 * Row groups of text columns: a dictionary of the values in order of first use, or, where most rows have a
 * value of their own, the values one after the other behind their lengths. Which one, and every byte of it,
 * depends on the texts of the row group alone and not on the codes they came with.
 */

import { type Column, Utf8Texts } from '@tracelake/lakehouse';
import { ByteSink } from './byte-sink.ts';
import type { ChunkStatistics, EncodedChunk } from './column-chunk.ts';
import { DeltaPacker } from './delta-binary-packing.ts';
import { encodeIndices } from './dictionary-indices.ts';
import { DistinctTexts } from './distinct-texts.ts';
import { type CompressedPage, compressAlways, compressIfSmaller } from './page-compression.ts';
import { ENCODING_DELTA_LENGTH_BYTE_ARRAY, ENCODING_RLE_DICTIONARY } from './parquet-format.ts';

type TextColumn = Extract<Column, { type: 'string' }>;

/** The codes of one row group, numbered by first use; columns with the same code array share it. */
interface GroupCodes {
  readonly codes: Uint32Array;
  /** For each row of the group, its place in `distinct`; may be longer. */
  readonly indices: Uint32Array;
  readonly distinct: Uint32Array;
  /** The page of `indices`, once a column has needed it. */
  page: CompressedPage | undefined;
}

/** Longer ones are of no use to whoever looks for row groups to leave out. */
const STATISTICS_BYTES_MAX = 1024;

export class TextColumnEncoder {
  readonly #sink = new ByteSink(64 * 1024);
  readonly #deltas = new DeltaPacker();
  readonly #texts = new DistinctTexts();
  readonly #dictionaryPages = new Map<TextColumn, { raw: Uint8Array; page: CompressedPage }>();
  readonly #numbers = new Map<Uint32Array, Int32Array>();
  readonly #indexArrays: Uint32Array[] = [];
  #groups: GroupCodes[] = [];
  #scratch = new Uint32Array(0);
  #lengths = new BigInt64Array(0);
  #places = new Uint32Array(0);

  /** Call it at the start of each row group. */
  startGroup(): void {
    this.#groups = [];
  }

  /** Throws a `RangeError` for a code outside the dictionary. */
  encode(column: TextColumn, from: number, to: number): EncodedChunk {
    const group = this.#groupCodes(column, from, to);
    const texts = this.#texts;
    texts.clear();
    // Of each distinct code, the place of its text: two codes may have the same.
    const places = this.#placesArray(group.distinct.length);
    const { dictionary } = column;
    for (let index = 0; index < places.length; index++) {
      const code = group.distinct[index] ?? 0;
      places[index] =
        dictionary instanceof Utf8Texts
          ? texts.placeOfUtf8(
              dictionary.bytesOf(code),
              dictionary.startOf(code),
              dictionary.lengthOf(code),
            )
          : texts.placeOf(dictionary[code] ?? '');
    }
    const rowCount = to - from;
    const isEach =
      texts.count * 2 > rowCount && this.#eachBytes(group, places, rowCount) <= texts.byteCount * 2;
    return isEach
      ? this.#encodeEach(group, places, rowCount)
      : this.#encodeDictionary(column, group, places, rowCount);
  }

  #placesArray(length: number): Uint32Array {
    if (this.#places.length < length) this.#places = new Uint32Array(length);
    return this.#places.subarray(0, length);
  }

  /** One long text in many rows must stand in the file once. */
  #eachBytes({ indices }: GroupCodes, places: Uint32Array, rowCount: number): number {
    let bytes = 0;
    for (let row = 0; row < rowCount; row++) {
      bytes += this.#texts.lengthAt(places[indices[row] ?? 0] ?? 0);
    }
    return bytes;
  }

  #encodeDictionary(
    column: TextColumn,
    group: GroupCodes,
    places: Uint32Array,
    rowCount: number,
  ): EncodedChunk {
    const { count } = this.#texts;
    let data = count === group.distinct.length ? group.page : undefined;
    if (data === undefined) {
      const { indices } = group;
      const isSame = count === group.distinct.length;
      this.#sink.clear();
      const own = isSame ? indices : this.#placesOf(indices, places, rowCount);
      encodeIndices(this.#sink, own, rowCount, count);
      data = compressIfSmaller(this.#sink.written());
      if (isSame) group.page = data;
    }
    return {
      dictionary: { page: this.#dictionaryPage(column), valueCount: count },
      data,
      encoding: ENCODING_RLE_DICTIONARY,
      statistics: this.#statistics(),
    };
  }

  #placesOf(indices: Uint32Array, places: Uint32Array, rowCount: number): Uint32Array {
    if (this.#scratch.length < rowCount) this.#scratch = new Uint32Array(rowCount);
    const scratch = this.#scratch;
    for (let row = 0; row < rowCount; row++) scratch[row] = places[indices[row] ?? 0] ?? 0;
    return scratch;
  }

  /** Row groups mostly have the dictionary of the one before. */
  #dictionaryPage(column: TextColumn): CompressedPage {
    const sink = this.#sink;
    sink.clear();
    this.#texts.appendPlain(sink);
    const raw = sink.written();
    const last = this.#dictionaryPages.get(column);
    if (last !== undefined && Buffer.compare(last.raw, raw) === 0) return last.page;
    const page = compressAlways(raw);
    this.#dictionaryPages.set(column, { raw: raw.slice(), page });
    return page;
  }

  #encodeEach(group: GroupCodes, places: Uint32Array, rowCount: number): EncodedChunk {
    const texts = this.#texts;
    if (this.#lengths.length < rowCount) this.#lengths = new BigInt64Array(rowCount);
    const lengths = this.#lengths;
    // The upper halves stay zero.
    const halves = new Uint32Array(lengths.buffer);
    for (let row = 0; row < rowCount; row++) {
      halves[row * 2] = texts.lengthAt(places[group.indices[row] ?? 0] ?? 0);
    }
    const sink = this.#sink;
    sink.clear();
    this.#deltas.encode(sink, lengths, 0, rowCount);
    this.#appendEach(sink, group, places, rowCount);
    return {
      dictionary: undefined,
      data: compressIfSmaller(sink.written()),
      encoding: ENCODING_DELTA_LENGTH_BYTE_ARRAY,
      statistics: this.#statistics(),
    };
  }

  /** Texts that are new stand in the order of their rows, so a stretch of rows is copied at once. */
  #appendEach(
    sink: ByteSink,
    { indices }: GroupCodes,
    places: Uint32Array,
    rowCount: number,
  ): void {
    let row = 0;
    while (row < rowCount) {
      const first = places[indices[row] ?? 0] ?? 0;
      let last = first;
      for (row++; row < rowCount && places[indices[row] ?? 0] === last + 1; row++) last++;
      this.#texts.appendTo(sink, first, last);
    }
  }

  #statistics(): ChunkStatistics | undefined {
    const { least, greatest } = this.#texts.outermost();
    if (least.length > STATISTICS_BYTES_MAX || greatest.length > STATISTICS_BYTES_MAX) {
      return undefined;
    }
    return { least: new Uint8Array(least), greatest: new Uint8Array(greatest) };
  }

  #groupCodes({ codes, dictionary }: TextColumn, from: number, to: number): GroupCodes {
    const known = this.#groups.find((group) => group.codes === codes);
    if (known !== undefined) {
      checkCodes(known.distinct, dictionary.length);
      return known;
    }
    const numbers = this.#numbersFor(codes, dictionary.length);
    const indices = this.#indexArray(to - from, 0);
    const distinct = this.#indexArray(to - from, 1);
    let distinctCount = 0;
    for (let row = from; row < to; row++) {
      const code = codes[row] ?? 0;
      let numberPlusOne = numbers[code];
      if (numberPlusOne === undefined) throw new RangeError(`string code ${code} of row ${row}`);
      if (numberPlusOne === 0) {
        distinct[distinctCount++] = code;
        numberPlusOne = distinctCount;
        numbers[code] = numberPlusOne;
      }
      indices[row - from] = numberPlusOne - 1;
    }
    for (let index = 0; index < distinctCount; index++) numbers[distinct[index] ?? 0] = 0;
    const used = distinct.subarray(0, distinctCount);
    const group = { codes, indices, distinct: used, page: undefined };
    this.#groups.push(group);
    return group;
  }

  /** Arrays of row groups that have been written are used again. */
  #indexArray(rowCount: number, which: 0 | 1): Uint32Array {
    const place = this.#groups.length * 2 + which;
    let array = this.#indexArrays[place];
    if (array === undefined || array.length < rowCount) {
      array = new Uint32Array(rowCount);
      this.#indexArrays[place] = array;
    }
    return array;
  }

  /** Zeros for each code, given back as zeros. */
  #numbersFor(codes: Uint32Array, length: number): Int32Array {
    const known = this.#numbers.get(codes);
    if (known !== undefined && known.length === length) return known;
    const numbers = new Int32Array(length);
    this.#numbers.set(codes, numbers);
    return numbers;
  }
}

function checkCodes(codes: Uint32Array, length: number): void {
  for (let index = 0; index < codes.length; index++) {
    const code = codes[index] ?? 0;
    if (code >= length) throw new RangeError(`string code ${code}`);
  }
}
