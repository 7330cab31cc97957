import { assert } from '@tracelake/domain';

/** A share of a ByteBudget; disposing gives it back once. */
export interface ByteReservation extends Disposable {
  readonly bytes: number;
  /** Takes more for the same holder; false, and nothing taken, when the budget does not have it. */
  tryGrow(bytes: number): boolean;
}

/** Bounds how many bytes of requests a service holds at once. Nobody waits: what does not fit is refused. */
export class ByteBudget {
  readonly capacityBytes: number;
  #usedBytes = 0;

  constructor(capacityBytes: number) {
    assert(capacityBytes > 0, 'a byte budget has room');
    this.capacityBytes = capacityBytes;
  }

  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** Undefined when the bytes do not fit now. */
  tryReserve(bytes: number): ByteReservation | undefined {
    if (!this.#tryTake(bytes)) return undefined;
    let heldBytes = bytes;
    let isReleased = false;
    return {
      get bytes() {
        return heldBytes;
      },
      tryGrow: (more) => {
        assert(!isReleased, 'a released reservation does not grow');
        if (!this.#tryTake(more)) return false;
        heldBytes += more;
        return true;
      },
      [Symbol.dispose]: () => {
        if (isReleased) return;
        isReleased = true;
        this.#usedBytes -= heldBytes;
      },
    };
  }

  #tryTake(bytes: number): boolean {
    assert(bytes >= 0, 'a reservation is not negative');
    if (this.#usedBytes + bytes > this.capacityBytes) return false;
    this.#usedBytes += bytes;
    return true;
  }
}
