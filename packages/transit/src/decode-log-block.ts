import { TextDictionary } from '@tracelake/domain';
import {
  type BlockDecodeInput,
  countPlanned,
  EventIdColumn,
  type OpenBlock,
  openBlockBriefly,
  planOccurringTypes,
} from './block-decoding.ts';
import { DependencyTextCodes } from './dependency-text-codes.ts';
import {
  checkEncodedString,
  encodedTextEnd,
  encodedUtf8Start,
  readCheckedString,
} from './encoded-string.ts';
import { type LogEventPlan, planLogEvent } from './log-event-plan.ts';
import { NO_PROPERTIES_JSON, PropertySets } from './property-sets.ts';
import { failRecord } from './record-framing.ts';
import { type Utf8Rows, Utf8RowsWriter, utf8TextOf } from './utf8-rows.ts';

/** Log events of a block, one row each, in the order they were recorded. Texts are codes into `strings`. */
export interface LogBlockColumns {
  readonly count: number;
  readonly eventIds: BigInt64Array;
  /** Absolute ticks of the producer's clock. */
  readonly ticks: BigInt64Array;
  /** 1 fatal, 2 error, 3 warning, 4 info, 5 debug, 6 trace. */
  readonly level: Int32Array;
  readonly target: Uint32Array;
  readonly msgUtf8: Utf8Rows;
  /**
   * The messages as codes into `strings`, made when it is first asked for: a string for each costs more than all
   * the rest.
   */
  readonly msg: Uint32Array;
  /** Canonical JSON objects of texts: keys sorted, `{}` when there are none. */
  readonly properties: Uint32Array;
  /** Each text is there once. */
  readonly strings: string[];
  /** Records of types this version does not know; they take event ids all the same. */
  readonly skippedEvents: number;
}

const LEVEL_BY_WORD: ReadonlyMap<string, number> = new Map([
  ['fatal', 1],
  ['error', 2],
  ['warning', 3],
  ['info', 4],
  ['debug', 5],
  ['trace', 6],
]);

/**
 * Decodes a block of a `log` stream into columns.
 *
 * Errors: `TransitDecodeError`: `transit.truncated`, `transit.bad-lz4`, `transit.bad-metadata`,
 * `transit.bad-record`, `transit.too-large`.
 */
export function decodeLogBlock(input: BlockDecodeInput): LogBlockColumns {
  const block = openBlockBriefly(input);
  const plans = planOccurringTypes(block, (type) => planLogEvent(block.objects, type));
  const decoder = new LogDecoder(block, input, countPlanned(block, plans));
  const { bytes, view, layout } = block.objects;
  let position = 0;
  for (let record = 0; position < bytes.length; record += 1) {
    const type = view.getUint8(position);
    let size = layout.sizes[type] ?? 0;
    position += 1;
    if (size === 0) {
      size = view.getUint32(position, true);
      position += 4;
    }
    const plan = plans[type];
    if (plan !== undefined) decoder.decodeEvent(plan, record, position, position + size);
    position += size;
  }
  return decoder.finish();
}

class LogDecoder {
  readonly #block: OpenBlock;
  readonly #texts = new TextDictionary();
  readonly #textCodes: DependencyTextCodes;
  readonly #propertySets: PropertySets;
  readonly #noProperties = this.#texts.codeOf(NO_PROPERTIES_JSON);
  readonly #targetPlusOneByDescription: Uint32Array;
  readonly #levelByDescription: Uint32Array;
  readonly #formatPlusOneByDescription: Uint32Array;
  readonly #eventIds: EventIdColumn;
  readonly #ticks: BigInt64Array;
  readonly #level: Int32Array;
  readonly #target: Uint32Array;
  readonly #messages: Utf8RowsWriter;
  /** The row that first had the text of a dependency as its message, plus one. */
  readonly #rowPlusOneByText: Uint32Array;
  readonly #properties: Uint32Array;
  #row = 0;

  constructor(block: OpenBlock, input: BlockDecodeInput, count: number) {
    const { dependencies } = block;
    this.#block = block;
    this.#textCodes = new DependencyTextCodes(dependencies, this.#texts);
    this.#propertySets = new PropertySets(
      dependencies,
      this.#texts,
      input.limits.decompressedBytesMax,
    );
    this.#targetPlusOneByDescription = new Uint32Array(dependencies.count);
    this.#levelByDescription = new Uint32Array(dependencies.count);
    this.#formatPlusOneByDescription = new Uint32Array(dependencies.count);
    this.#eventIds = new EventIdColumn(count, input.objectOffset);
    this.#ticks = new BigInt64Array(count);
    this.#level = new Int32Array(count);
    this.#target = new Uint32Array(count);
    this.#messages = new Utf8RowsWriter(count, block.objects.bytes.length);
    this.#rowPlusOneByText = new Uint32Array(dependencies.count);
    this.#properties = new Uint32Array(count).fill(this.#noProperties);
  }

  decodeEvent(plan: LogEventPlan, record: number, start: number, end: number): void {
    const { objects, dependencies } = this.#block;
    if (end - start < plan.sizeMin) failRecord(objects, start, 'a log event is cut short');
    const row = this.#row;
    this.#row += 1;
    this.#eventIds.set(row, record);
    this.#ticks[row] = objects.view.getBigInt64(start + plan.timeOffset, true);
    if (plan.descriptionOffset >= 0) {
      const description = dependencies.resolve(objects, start + plan.descriptionOffset);
      this.#target[row] = this.#targetOf(description);
      this.#level[row] = this.#levelByDescription[description] ?? 0;
      if (plan.messageForm === 'description')
        this.#addReferencedMessage(row, this.#formatOf(description));
    } else {
      this.#level[row] = plan.isLevelByte
        ? objects.view.getUint8(start + plan.levelOffset)
        : objects.view.getUint32(start + plan.levelOffset, true);
      this.#target[row] = this.#referencedText(start + plan.targetOffset);
    }
    if (plan.messageForm !== 'description') this.#addMessage(plan, row, start, end);
    if (plan.propertiesOffset >= 0) this.#decodeProperties(plan, row, start);
    const others = plan.otherReferenceOffsets;
    for (let index = 0; index < others.length; index += 1)
      dependencies.resolve(objects, start + (others[index] ?? 0));
  }

  finish(): LogBlockColumns {
    const texts = this.#texts;
    const msgUtf8 = this.#messages.finish();
    let codes: Uint32Array | undefined;
    return {
      count: this.#row,
      eventIds: this.#eventIds.values,
      ticks: this.#ticks,
      level: this.#level,
      target: this.#target,
      msgUtf8,
      get msg() {
        codes ??= codesOfRows(msgUtf8, texts);
        return codes;
      },
      properties: this.#properties,
      strings: texts.texts,
      skippedEvents: this.#block.counts.total - this.#row,
    };
  }

  #targetOf(description: number): number {
    const known = this.#targetPlusOneByDescription[description] ?? 0;
    if (known !== 0) return known - 1;
    const { dependencies } = this.#block;
    const target = this.#textCodes.codeOf(dependencies.memberDependency(description, 'target'));
    this.#levelByDescription[description] = dependencies.memberU32(description, 'level');
    this.#targetPlusOneByDescription[description] = target + 1;
    return target;
  }

  #addMessage(plan: LogEventPlan, row: number, start: number, end: number): void {
    const { objects } = this.#block;
    const at = start + plan.messageOffset;
    switch (plan.messageForm) {
      case 'encoded': {
        checkEncodedString(objects, at, end);
        const textStart = encodedUtf8Start(objects, at);
        const isAdded =
          textStart >= 0 &&
          this.#messages.addUtf8(row, objects, textStart, encodedTextEnd(objects, at));
        // What is not valid becomes U+FFFD.
        if (!isAdded) this.#messages.addText(row, readCheckedString(objects, at));
        return;
      }
      case 'raw':
        if (!this.#messages.addUtf8(row, objects, at, end))
          failRecord(objects, at, 'text is not valid utf-8');
        return;
      default:
        this.#addReferencedMessage(row, this.#block.dependencies.resolve(objects, at));
    }
  }

  #addReferencedMessage(row: number, text: number): void {
    const known = this.#rowPlusOneByText[text] ?? 0;
    if (known !== 0) {
      this.#messages.repeat(row, known - 1);
      return;
    }
    this.#messages.addText(row, this.#block.dependencies.textOf(text));
    this.#rowPlusOneByText[text] = row + 1;
  }

  #formatOf(description: number): number {
    const known = this.#formatPlusOneByDescription[description] ?? 0;
    if (known !== 0) return known - 1;
    const format = this.#block.dependencies.memberDependency(description, 'fmt_str');
    this.#formatPlusOneByDescription[description] = format + 1;
    return format;
  }

  #referencedText(offset: number): number {
    return this.#textCodes.codeOf(this.#block.dependencies.resolve(this.#block.objects, offset));
  }

  #decodeProperties(plan: LogEventPlan, row: number, start: number): void {
    const { objects, dependencies } = this.#block;
    const set = this.#propertySets.setOf(
      dependencies.resolve(objects, start + plan.propertiesOffset),
    );
    this.#properties[row] = set.jsonCode;
    if (!plan.isOverridden) return;
    if (set.target !== undefined) this.#target[row] = this.#texts.codeOf(set.target);
    if (set.level === undefined) return;
    const level = LEVEL_BY_WORD.get(set.level);
    if (level === undefined)
      failRecord(objects, start, 'the property "level" is not the name of a level');
    this.#level[row] = level;
  }
}

function codesOfRows(rows: Utf8Rows, texts: TextDictionary): Uint32Array {
  return rows.starts.map((_, row) => texts.codeOf(utf8TextOf(rows, row)));
}
