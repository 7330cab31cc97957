-- Who works on what, and for how long. Every expiry is by the database's clock.

CREATE TABLE claims (
  view_set text NOT NULL,
  instance text NOT NULL,
  owner text NOT NULL,
  expires_at timestamptz NOT NULL,
  PRIMARY KEY (view_set, instance)
);

CREATE TABLE lane_leases (
  lane integer PRIMARY KEY CHECK (lane >= 0),
  owner text NOT NULL,
  -- Rises with each change of owner: work with a lower number is an old owner's.
  fencing_number bigint NOT NULL,
  expires_at timestamptz NOT NULL
);

CREATE TABLE read_leases (
  lease_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  owner text NOT NULL,
  opened_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  -- Whatever its reader sees is at least as new as this.
  opened_snapshot pg_snapshot NOT NULL DEFAULT pg_current_snapshot(),
  expires_at timestamptz NOT NULL
);
CREATE INDEX read_leases_expiry ON read_leases (expires_at);
