import { fragment, type SqlFragment } from './postgres/sql.ts';

/**
 * A moment that a later look can be asked about: what was committed then. Insert times cannot tell, because commits
 * do not follow them; the database's own snapshot can.
 */
export interface LookMoment {
  /** As `pg_current_snapshot()` shows it. */
  readonly seen: string;
  /** By the database's clock, microseconds. */
  readonly takenUs: bigint;
}

/**
 * A row this much older than the moment counts as seen without asking: no insert takes as long, and the numbers of
 * transactions of very old rows come around again. It may only make a look stricter.
 */
const SURELY_SEEN_AFTER_US = 3_600_000_000n;

/** Parameters of the row `look` that `inLook` needs. */
export function lookOf(since: LookMoment | undefined): {
  readonly seen: string | null;
  readonly surelyBeforeUs: bigint;
} {
  if (since === undefined) return { seen: null, surelyBeforeUs: 0n };
  return { seen: since.seen, surelyBeforeUs: since.takenUs - SURELY_SEEN_AFTER_US };
}

/**
 * Whether a row of a table whose rows never change was committed at the moment; needs `look` beside it, with
 * columns seen, surely_before and now_xid. Rows know only the low half of the number of their transaction.
 */
export function inLook(alias: 'b' | 's' | 'p'): SqlFragment {
  return fragment(`(look.seen IS NULL OR ${alias}.insert_time < look.surely_before
    OR pg_visible_in_snapshot(
      (look.now_xid - ((look.now_xid - ${alias}.xmin::text::bigint) & 4294967295))::text::xid8, look.seen))`);
}
