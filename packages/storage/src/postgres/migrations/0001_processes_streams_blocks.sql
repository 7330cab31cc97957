-- What ingest makes durable. Rows are immutable: the first write of an id wins.
-- There are no foreign keys among these three: they arrive in any order.

-- Exact conversions between timestamptz and whole microseconds since the Unix epoch.
CREATE FUNCTION unix_us(t timestamptz) RETURNS bigint
  LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
  RETURN (extract(epoch FROM t) * 1000000)::bigint;

CREATE FUNCTION from_unix_us(us bigint) RETURNS timestamptz
  LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
  RETURN to_timestamp((us / 1000000)::double precision)
    + (us % 1000000)::double precision * interval '1 microsecond';

CREATE TABLE lake_settings (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  lanes integer NOT NULL CHECK (lanes > 0),
  created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE processes (
  process_id uuid PRIMARY KEY,
  exe text NOT NULL,
  username text NOT NULL,
  realname text NOT NULL,
  computer text NOT NULL,
  distro text NOT NULL,
  cpu_brand text NOT NULL,
  tsc_frequency bigint NOT NULL,
  start_time timestamptz NOT NULL,
  start_ticks bigint NOT NULL,
  insert_time timestamptz NOT NULL DEFAULT clock_timestamp(),
  parent_process_id uuid,
  properties jsonb NOT NULL CHECK (jsonb_typeof(properties) = 'object')
);
CREATE INDEX processes_start_time ON processes (start_time);
CREATE INDEX processes_insert_time ON processes (insert_time);
CREATE INDEX processes_parent ON processes (parent_process_id) WHERE parent_process_id IS NOT NULL;

CREATE TABLE streams (
  stream_id uuid PRIMARY KEY,
  process_id uuid NOT NULL,
  dependencies_metadata bytea NOT NULL,
  objects_metadata bytea NOT NULL,
  -- Over everything of the stream that rows of views depend on.
  metadata_sha256 bytea NOT NULL CHECK (octet_length(metadata_sha256) = 32),
  tags text[] NOT NULL,
  properties jsonb NOT NULL CHECK (jsonb_typeof(properties) = 'object'),
  format text NOT NULL DEFAULT 'micromegas-transit',
  insert_time timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX streams_process ON streams (process_id);
CREATE INDEX streams_insert_time ON streams (insert_time);

CREATE TABLE blocks (
  block_id uuid PRIMARY KEY,
  stream_id uuid NOT NULL,
  process_id uuid NOT NULL,
  begin_time timestamptz NOT NULL,
  begin_ticks bigint NOT NULL,
  end_time timestamptz NOT NULL,
  end_ticks bigint NOT NULL,
  nb_objects integer NOT NULL,
  object_offset bigint NOT NULL,
  payload_size bigint NOT NULL CHECK (payload_size >= 0),
  content_sha256 bytea NOT NULL CHECK (octet_length(content_sha256) = 32),
  -- When the block came. Commits do not follow it, so nothing may be planned by a watermark on it.
  insert_time timestamptz NOT NULL DEFAULT clock_timestamp()
);
-- The blocks of a process, of one of its streams, and of that stream in stream order.
CREATE INDEX blocks_stream_order
  ON blocks (process_id, stream_id, begin_ticks, end_ticks, object_offset, block_id);
CREATE INDEX blocks_process_end_time ON blocks (process_id, end_time);
CREATE INDEX blocks_insert_time ON blocks (insert_time);

-- What is durable and not yet announced on the bus. A table of its own, written with the row it names:
-- a flag would rewrite each block's row and all its index entries.
CREATE TABLE unannounced (
  kind text NOT NULL CHECK (kind IN ('process', 'stream', 'block')),
  id uuid NOT NULL,
  since timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (kind, id)
);
CREATE INDEX unannounced_since ON unannounced (kind, since);

CREATE FUNCTION refuse_update() RETURNS trigger
  LANGUAGE plpgsql
  AS $$ BEGIN RAISE EXCEPTION 'a row of % never changes', TG_TABLE_NAME; END $$;

CREATE TRIGGER processes_immutable BEFORE UPDATE ON processes
  FOR EACH ROW EXECUTE FUNCTION refuse_update();
CREATE TRIGGER streams_immutable BEFORE UPDATE ON streams
  FOR EACH ROW EXECUTE FUNCTION refuse_update();
CREATE TRIGGER blocks_immutable BEFORE UPDATE ON blocks
  FOR EACH ROW EXECUTE FUNCTION refuse_update();
