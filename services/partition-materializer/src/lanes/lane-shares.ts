/** Who should hold which lane: decided from the leases alone, the same way by every replica. */

export interface LaneLeaseView {
  readonly lane: number;
  readonly owner: string;
}

export interface LaneShareInput {
  readonly laneCount: number;
  /** Leases that have not expired. */
  readonly leases: readonly LaneLeaseView[];
  /** Replicas that are alive, this one included. */
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
 * Every replica holds the floor of lanes / replicas, and the first of them in order of name one more
 * where it does not divide. Lanes move only from those that have too many.
 */
export function decideLaneShares(input: LaneShareInput): LaneShareDecision {
  const { laneCount, leases, self } = input;
  const replicas = [...new Set([...input.replicas, self])].sort();
  const extra = replicas.indexOf(self) < laneCount % replicas.length ? 1 : 0;
  const share = Math.floor(laneCount / replicas.length) + extra;
  const held = leases.filter((lease) => lease.owner === self && lease.lane < laneCount);
  if (held.length > share) {
    const lanes = held.map((lease) => lease.lane).sort((first, second) => second - first);
    return { acquire: [], release: lanes.slice(0, held.length - share) };
  }
  const taken = new Set(leases.map((lease) => lease.lane));
  const free: number[] = [];
  for (let lane = 0; lane < laneCount && free.length < share - held.length; lane++) {
    if (!taken.has(lane)) free.push(lane);
  }
  return { acquire: free, release: [] };
}
