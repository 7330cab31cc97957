/**
 * Numbers that a viewer knows tracks by. They are functions of ids alone, so that two exports of one
 * process agree. Perfetto wants pid and tids positive int32, and merges threads that share one.
 */

const INT32_MAX = 0x7fff_ffff;

/** A 64-bit hash of a text, such as xxh64. */
export type TextHash = (text: string) => bigint;

export interface ThreadIdentitySource {
  readonly streamId: string;
  /** The producer's own thread id as decimal text, when it sent one. */
  readonly threadId: string | undefined;
}

export interface ThreadIdentity {
  readonly streamId: string;
  readonly tid: number;
}

export function pidOf(processId: string, hash: TextHash): number {
  return positiveInt32(hash(processId));
}

/**
 * Gives each thread a tid of its own, none equal to `pid`: the producer's where it is a free positive
 * int32, else one from a hash of the stream id, moved on until free. The result is in order of stream id.
 */
export function assignThreadIds(
  pid: number,
  threads: readonly ThreadIdentitySource[],
  hash: TextHash,
): ThreadIdentity[] {
  const taken = new Set<number>([pid]);
  return [...threads]
    .sort((a, b) => (a.streamId < b.streamId ? -1 : a.streamId > b.streamId ? 1 : 0))
    .map(({ streamId, threadId }) => {
      let tid = producerTid(threadId) ?? positiveInt32(hash(streamId));
      while (taken.has(tid)) tid = tid === INT32_MAX ? 1 : tid + 1;
      taken.add(tid);
      return { streamId, tid };
    });
}

/** Hands out track uuids: hashes of texts, none twice, never 0 (the trace's default track). */
export class TrackUuids {
  readonly #taken = new Set<bigint>([0n]);
  readonly #hash: TextHash;

  constructor(hash: TextHash) {
    this.#hash = hash;
  }

  next(text: string): bigint {
    let uuid = BigInt.asUintN(64, this.#hash(text));
    while (this.#taken.has(uuid)) uuid = BigInt.asUintN(64, uuid + 1n);
    this.#taken.add(uuid);
    return uuid;
  }
}

/** The last part of a path of any system; the path itself when it has none. */
export function shortProgramName(exe: string): string {
  const trimmed = exe.replace(/[/\\]+$/, '');
  const name = trimmed.slice(Math.max(trimmed.lastIndexOf('/'), trimmed.lastIndexOf('\\')) + 1);
  return name === '' ? exe : name;
}

function positiveInt32(hash: bigint): number {
  const low = Number(BigInt.asUintN(31, hash));
  return low === 0 ? 1 : low;
}

function producerTid(threadId: string | undefined): number | undefined {
  if (threadId === undefined || !/^[1-9]\d{0,9}$/.test(threadId)) return undefined;
  const tid = Number(threadId);
  return tid <= INT32_MAX ? tid : undefined;
}
