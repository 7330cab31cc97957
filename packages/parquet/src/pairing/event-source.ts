/** Where the events of one file come from, in order of time. */

/** Rows of events; arrays may be longer. 64-bit columns as halves, low at `2 * row`. */
export interface EventRows {
  readonly rowCount: number;
  readonly times: BigInt64Array;
  /** The halves of `times`. */
  readonly time: Int32Array;
  /** 1 of an end event, 0 of a begin event. */
  readonly isEnd: Uint8Array;
  readonly id: Int32Array;
  readonly parent: Int32Array;
  readonly depth: Uint32Array;
  /** Index into the scopes. */
  readonly scope: Uint32Array;
  /** What keeps the arrays alive. */
  readonly retained: unknown;
}

/** Why rows that are there cannot be had from this source. */
export type Refusal = 'unordered' | 'scopes-share-hash';

export interface EventSource extends AsyncDisposable {
  /** True of a file that had to be sorted for it. */
  readonly isSorted: boolean;
  /** The next rows, at least one, valid until the next call; undefined behind the last. */
  read(): Promise<EventRows | Refusal | undefined>;
}

/** Room for so many rows. */
export function emptyEventRows(rowCount: number): EventRows {
  const times = new BigInt64Array(rowCount);
  return {
    rowCount,
    times,
    time: new Int32Array(times.buffer),
    isEnd: new Uint8Array(rowCount),
    id: new Int32Array(rowCount * 2),
    parent: new Int32Array(rowCount * 2),
    depth: new Uint32Array(rowCount),
    scope: new Uint32Array(rowCount),
    retained: undefined,
  };
}
