/**
 * Pairs events that come in order of time. Memory is the spans from the first open one on and the events
 * without their other half; where that is more than may be held, or an id stands twice where only all events
 * together could say which is which, it gives up and says from where on.
 */

import { keepCompiled } from '@tracelake/domain';
import { ParquetError } from '../parquet-error.ts';
import type { ScopeText } from '../scope-dictionary.ts';
import type { SpanBatch } from '../span-batch.ts';
import type { NsRange } from '../thread-span-reading.ts';
import type { EventSlice } from './event-merge.ts';
import { SpanWindow } from './span-window.ts';
import { PAIRED, REFUSED, UnpairedEvents } from './unpaired-events.ts';

/** In place of a span's number: the begin lies behind the range and no span is made of it. */
const NO_SPAN = 1;

const EARLIEST_NS = -(2n ** 63n);
const LATEST_NS = 2n ** 63n - 1n;

export interface StreamedPairingOptions {
  /** What the events' scopes are indexes of; may grow meanwhile. */
  readonly scopes: readonly ScopeText[];
  readonly range: NsRange;
  readonly openEndNs: bigint;
  /** Spans held at once, and events that wait for their other half. */
  readonly heldMax: number;
}

export class StreamedPairing {
  readonly #options: StreamedPairingOptions;
  readonly #window: SpanWindow;
  readonly #unpaired: UnpairedEvents;
  readonly #endHigh: number;
  readonly #endLow: number;
  /** Spans from here on begin together and are not paired yet. */
  #groupStart = 0;
  #timeHigh = -0x8000_0000;
  #timeLow = 0;
  #hasHandedOn = false;
  #isDisordered = false;

  constructor(options: StreamedPairingOptions) {
    this.#options = options;
    this.#window = new SpanWindow(options.scopes);
    this.#unpaired = new UnpairedEvents(options.heldMax);
    const { endNs } = options.range;
    const rangeEndNs = endNs > LATEST_NS ? LATEST_NS : endNs;
    this.#endLow = Number(BigInt.asUintN(32, rangeEndNs));
    this.#endHigh = Number(rangeEndNs >> 32n);
  }

  /** After `finish`: end events whose begin did not come. */
  get endsWithoutBegin(): number {
    return this.#unpaired.endCount;
  }

  /** After it gave up: spans that begin here or later have not been handed on, all others have. */
  get restFromNs(): bigint {
    if (this.#isDisordered) return EARLIEST_NS;
    return this.#window.firstBegin ?? (BigInt(this.#timeHigh) << 32n) | BigInt(this.#timeLow);
  }

  /**
   * Takes events; false when it gives up. Errors: `parquet.read-failed` for a file with events before the least
   * time that is known of it, where spans have been handed on already.
   */
  consume(events: EventSlice): boolean {
    const { time, isEnd, id } = events;
    const { heldMax } = this.#options;
    const window = this.#window;
    for (let row = events.from; row < events.to; row += 1) {
      const low = (time[2 * row] ?? 0) >>> 0;
      const high = time[2 * row + 1] ?? 0;
      if (low !== this.#timeLow || high !== this.#timeHigh) {
        if (!this.#closeGroup()) return false;
        if (high < this.#timeHigh || (high === this.#timeHigh && low < this.#timeLow)) {
          return this.#giveUpDisordered();
        }
        this.#timeLow = low;
        this.#timeHigh = high;
      }
      const idLow = id[2 * row] ?? 0;
      const idHigh = id[2 * row + 1] ?? 0;
      if (isEnd[row] === 1) {
        if (!this.#end(idLow, idHigh, low, high)) return false;
      } else if (high < this.#endHigh || (high === this.#endHigh && low <= this.#endLow)) {
        if (window.count >= heldMax) return false;
        window.append(events, row);
      } else if (this.#unpaired.addBegin(idLow, idHigh, 0, NO_SPAN) === REFUSED) return false;
    }
    return true;
  }

  /** Spans that nothing can come before any more. Valid until the next call. */
  *settled(): Generator<SpanBatch, void, void> {
    for (const batch of this.#window.takeSettled(this.#options.range.beginNs)) {
      this.#hasHandedOn = true;
      yield batch;
    }
  }

  /** All events have come: what has no end is open. False when it gives up. */
  finish(): boolean {
    if (!this.#closeGroup()) return false;
    this.#window.settleRest(this.#options.openEndNs);
    return true;
  }

  #end(idLow: number, idHigh: number, low: number, high: number): boolean {
    const unpaired = this.#unpaired;
    const outcome = unpaired.addEnd(idLow, idHigh, low, high);
    if (outcome === PAIRED && unpaired.foundHigh !== NO_SPAN) {
      this.#window.settle(unpaired.foundLow, low, high);
    }
    return outcome !== REFUSED;
  }

  /** Pairs the spans of one moment in their own order, which decides between spans of one id. */
  #closeGroup(): boolean {
    const window = this.#window;
    const first = this.#groupStart;
    const next = window.next;
    if (next === first) return true;
    if (next - first > 1 && !window.sortFrom(first)) return false;
    const unpaired = this.#unpaired;
    for (let number = first; number < next; number += 1) {
      const outcome = unpaired.addBegin(window.idLow(number), window.idHigh(number), number | 0, 0);
      if (outcome === REFUSED) return false;
      if (outcome === PAIRED) window.settle(number | 0, unpaired.foundLow, unpaired.foundHigh);
    }
    this.#groupStart = next;
    return true;
  }

  /** Sorted together, spans that were held back until now come out right all the same. */
  #giveUpDisordered(): boolean {
    this.#isDisordered = true;
    if (!this.#hasHandedOn) return false;
    throw new ParquetError(
      'parquet.read-failed',
      'a file has events before the least time that the catalog has of it',
    );
  }
}

keepCompiled(
  new StreamedPairing({
    scopes: [],
    range: { beginNs: 0n, endNs: 0n },
    openEndNs: 0n,
    heldMax: 0,
  }),
);
