/** Who should hold which lane: decided from the leases alone, the same way by every replica. */

export interface LaneLeaseView {
  readonly lane: number;
  readonly owner: string;
}

export interface LaneShareInput {
  readonly laneCount: number;
  /** Leases that have not expired. */
  readonly leases: readonly LaneLeaseView[];
  /** Replicas that are alive, this one included or not; one may be named more than once. */
  readonly replicas: readonly string[];
  readonly self: string;
}

export interface LaneShareDecision {
  /** Free lanes this replica should try to take, at most its share. */
  readonly acquire: readonly number[];
  /** Lanes this replica should give up, because others have fewer than their share. */
  readonly release: readonly number[];
}

/**
 * Every replica holds the floor of lanes / replicas, and where it does not divide those that hold the most already
 * have one more, in order of name when they hold as many. So a lane moves only to a replica that has too few.
 */
export function decideLaneShares(input: LaneShareInput): LaneShareDecision {
  const { laneCount, leases, self } = input;
  const held = heldBy(leases, laneCount);
  const own = held.get(self) ?? [];
  const share = shareOf(self, new Set([...input.replicas, self]), held, laneCount);
  if (own.length > share) {
    const latestFirst = own.toSorted((first, second) => second - first);
    return { acquire: [], release: latestFirst.slice(0, own.length - share) };
  }
  const taken = new Set(leases.map((lease) => lease.lane));
  const free: number[] = [];
  for (let lane = 0; lane < laneCount && free.length < share - own.length; lane++) {
    if (!taken.has(lane)) free.push(lane);
  }
  return { acquire: free, release: [] };
}

function shareOf(
  self: string,
  replicas: ReadonlySet<string>,
  held: ReadonlyMap<string, readonly number[]>,
  laneCount: number,
): number {
  const count = (replica: string) => held.get(replica)?.length ?? 0;
  const ranked = [...replicas].sort(
    (first, second) => count(second) - count(first) || (first < second ? -1 : 1),
  );
  const extra = ranked.indexOf(self) < laneCount % replicas.size ? 1 : 0;
  return Math.floor(laneCount / replicas.size) + extra;
}

function heldBy(leases: readonly LaneLeaseView[], laneCount: number): Map<string, number[]> {
  const held = new Map<string, number[]>();
  for (const { lane, owner } of leases) {
    if (lane >= laneCount) continue;
    const lanes = held.get(owner);
    if (lanes === undefined) held.set(owner, [lane]);
    else lanes.push(lane);
  }
  return held;
}
