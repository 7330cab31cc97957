/**
 * Writes down in the database, by triggers, in which order lanes changed hands, instances were claimed and partitions
 * were inserted, and by which role: what replicas say of themselves proves nothing. Commits hold their lane and a lane
 * changes hands after them, so the order of the entries is the order of the facts.
 */

import assert from 'node:assert/strict';
import { type Database, sql } from '@tracelake/storage';

interface Entry {
  readonly kind: 'lane' | 'claim' | 'unclaim' | 'commit';
  readonly role: string;
  readonly lane: number | null;
  readonly view_set: string | null;
  readonly instance: string | null;
  /** Of a lane: given back. Of a claim: taken from another, whose time was over. */
  readonly was_free: boolean;
}

const TRIGGERS = `
  CREATE TABLE audit (
    entry bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL, role text NOT NULL DEFAULT session_user,
    lane integer, view_set text, instance text, was_free boolean NOT NULL DEFAULT false
  );
  CREATE FUNCTION audit_lane() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF TG_OP = 'INSERT' OR OLD.fencing_number <> NEW.fencing_number THEN
      INSERT INTO audit (kind, lane, was_free)
      VALUES ('lane', NEW.lane, NEW.expires_at = '-infinity');
    END IF;
    RETURN NULL;
  END $$;
  CREATE TRIGGER audit_lane AFTER INSERT OR UPDATE ON lane_leases
    FOR EACH ROW EXECUTE FUNCTION audit_lane();
  CREATE FUNCTION audit_claim() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF TG_OP = 'DELETE' THEN
      INSERT INTO audit (kind, view_set, instance)
      VALUES ('unclaim', OLD.view_set, OLD.instance);
    ELSIF TG_OP = 'INSERT' OR OLD.owner <> NEW.owner THEN
      INSERT INTO audit (kind, view_set, instance, was_free)
      VALUES ('claim', NEW.view_set, NEW.instance, TG_OP = 'UPDATE');
      IF TG_OP = 'UPDATE' AND OLD.expires_at > clock_timestamp() THEN
        RAISE EXCEPTION 'a claim was taken before its time was over';
      END IF;
    END IF;
    RETURN NULL;
  END $$;
  CREATE TRIGGER audit_claim AFTER INSERT OR UPDATE OR DELETE ON claims
    FOR EACH ROW EXECUTE FUNCTION audit_claim();
  CREATE FUNCTION audit_commit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO audit (kind, view_set, instance) VALUES ('commit', NEW.view_set, NEW.instance);
    RETURN NULL;
  END $$;
  CREATE TRIGGER audit_commit AFTER INSERT ON partitions
    FOR EACH ROW EXECUTE FUNCTION audit_commit();
`;

/** What the database saw of replicas that have a role each. */
export class CommitAudit {
  readonly #database: Database;
  readonly #roles: string[] = [];

  private constructor(database: Database) {
    this.#database = database;
  }

  static async install(database: Database): Promise<CommitAudit> {
    await database.query({ text: TRIGGERS, values: [] });
    return new CommitAudit(database);
  }

  /** `role` is a plain word, the password has no quote. */
  async createRole(role: string, password: string): Promise<void> {
    this.#roles.push(role);
    const text = `CREATE ROLE ${role} LOGIN SUPERUSER PASSWORD '${password}'`;
    await this.#database.query({ text, values: [] });
  }

  /** Roles are the server's, not the database's. */
  async dropRoles(): Promise<void> {
    for (const role of this.#roles) {
      await this.#database.query({ text: `DROP ROLE IF EXISTS ${role}`, values: [] });
    }
  }

  /** Which role has which lane now. */
  async owners(): Promise<Map<number, string>> {
    const owners = new Map<number, string>();
    for (const entry of await this.#entries()) {
      if (entry.kind !== 'lane' || entry.lane === null) continue;
      if (entry.was_free) owners.delete(entry.lane);
      else owners.set(entry.lane, entry.role);
    }
    return owners;
  }

  /** Fails when a commit was not its lane owner's, or was of an instance that another had claimed in time. */
  async check({
    laneOfInstance,
  }: {
    readonly laneOfInstance: (instance: string) => number | undefined;
  }): Promise<{ commits: number; rebuiltAfterExpiry: number }> {
    const owners = new Map<number, string>();
    const claims = new Map<string, { role: string; isAfterExpiry: boolean }>();
    let commits = 0;
    let rebuiltAfterExpiry = 0;
    for (const { kind, role, lane, view_set, instance, was_free } of await this.#entries()) {
      const key = `${view_set}/${instance}`;
      if (kind === 'lane' && lane !== null) {
        if (was_free) owners.delete(lane);
        else owners.set(lane, role);
      } else if (kind === 'claim') claims.set(key, { role, isAfterExpiry: was_free });
      else if (kind === 'unclaim') claims.delete(key);
      else if (kind === 'commit' && instance !== null) {
        commits++;
        const itsLane = laneOfInstance(instance);
        assert.ok(itsLane !== undefined, `the lane of ${key}`);
        assert.equal(role, owners.get(itsLane), `a commit to lane ${itsLane} by its owner`);
        const claimed = [claims.get(key), claims.get(`${view_set}#compaction/${instance}`)];
        const isClaimant = claimed.some((claim) => claim?.role === role);
        if (!isClaimant) {
          assert.ok(
            claimed.some((claim) => claim?.isAfterExpiry),
            `${key} is committed by who claimed it`,
          );
          rebuiltAfterExpiry++;
        }
      }
    }
    return { commits, rebuiltAfterExpiry };
  }

  async #entries(): Promise<Entry[]> {
    return await this.#database.query<Entry>(
      sql`SELECT kind, role, lane, view_set, instance, was_free FROM audit ORDER BY entry`,
    );
  }
}
