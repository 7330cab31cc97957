-- The catalog of materialized partitions.

CREATE TABLE partitions (
  partition_key bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  -- A hash of schema hash and source hash: the same content has the same id.
  partition_id text NOT NULL,
  view_set text NOT NULL,
  instance text NOT NULL,
  schema_hash text NOT NULL,
  kind text NOT NULL CHECK (kind IN ('run', 'tail')),
  source_hash text NOT NULL,
  -- Inclusive at both ends.
  begin_insert_time timestamptz NOT NULL,
  end_insert_time timestamptz NOT NULL,
  -- Event times in nanoseconds, which timestamptz cannot hold; null when there are no rows.
  min_event_ns bigint,
  max_event_ns bigint,
  carry_in_hash text,
  carry_out_hash text,
  -- Null when there are no rows.
  object_key text,
  row_count bigint NOT NULL CHECK (row_count >= 0),
  event_count bigint NOT NULL CHECK (event_count >= 0),
  size_bytes bigint NOT NULL CHECK (size_bytes >= 0),
  written_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  CHECK (begin_insert_time <= end_insert_time),
  CHECK ((object_key IS NULL) = (row_count = 0)),
  CHECK ((min_event_ns IS NULL) = (max_event_ns IS NULL) AND min_event_ns <= max_event_ns)
);
CREATE UNIQUE INDEX partitions_instance
  ON partitions (view_set, instance, schema_hash, partition_id);
CREATE UNIQUE INDEX partitions_object_key ON partitions (object_key) WHERE object_key IS NOT NULL;
CREATE INDEX partitions_id ON partitions (partition_id);
-- Only the last chain of an instance is unfinished.
CREATE UNIQUE INDEX partitions_one_tail
  ON partitions (view_set, instance, schema_hash) WHERE kind = 'tail';

CREATE TABLE partition_blocks (
  view_set text NOT NULL,
  instance text NOT NULL,
  schema_hash text NOT NULL,
  block_id uuid NOT NULL,
  partition_key bigint NOT NULL REFERENCES partitions ON DELETE CASCADE,
  -- Place of the block in its run.
  position integer NOT NULL,
  -- A block is covered once per view instance: of two racing writers one wins.
  PRIMARY KEY (view_set, instance, schema_hash, block_id)
);
CREATE UNIQUE INDEX partition_blocks_order ON partition_blocks (partition_key, position);

CREATE TABLE carries (
  partition_key bigint PRIMARY KEY REFERENCES partitions ON DELETE CASCADE,
  carry_out bytea NOT NULL
);

CREATE TABLE rejected_blocks (
  view_set text NOT NULL,
  block_id uuid NOT NULL,
  reason text NOT NULL,
  rejected_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (view_set, block_id)
);
CREATE INDEX rejected_blocks_block ON rejected_blocks (block_id);

-- Objects that no partition names any more; they go once no reader can hold them.
CREATE TABLE retired_objects (
  object_key text PRIMARY KEY,
  retired_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  -- The transaction that retired it: commit order, which times do not tell.
  retired_by xid8 NOT NULL DEFAULT pg_current_xact_id()
);
