function CREATE OR REPLACE FUNCTION public.from_unix_us(us bigint) RETURNS timestamp with time zone LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT RETURN (to_timestamp(((us / 1000000))::double precision) + (((us % (1000000)::bigint))::double precision * '00:00:00.000001'::interval)) 
function CREATE OR REPLACE FUNCTION public.refuse_update() RETURNS trigger LANGUAGE plpgsql AS $function$ BEGIN RAISE EXCEPTION 'a row of % never changes', TG_TABLE_NAME; END $function$ 
function CREATE OR REPLACE FUNCTION public.unix_us(t timestamp with time zone) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT RETURN ((EXTRACT(epoch FROM t) * (1000000)::numeric))::bigint 
column blocks.block_id uuid not null
column blocks.stream_id uuid not null
column blocks.process_id uuid not null
column blocks.begin_time timestamp with time zone not null
column blocks.begin_ticks bigint not null
column blocks.end_time timestamp with time zone not null
column blocks.end_ticks bigint not null
column blocks.nb_objects integer not null
column blocks.object_offset bigint not null
column blocks.payload_size bigint not null
column blocks.content_sha256 bytea not null
column blocks.insert_time timestamp with time zone not null default clock_timestamp()
column carries.partition_key bigint not null
column carries.carry_out bytea not null
column claims.view_set text not null
column claims.instance text not null
column claims.owner text not null
column claims.expires_at timestamp with time zone not null
column lake_settings.only_row boolean not null default true
column lake_settings.lanes integer not null
column lake_settings.created_at timestamp with time zone not null default clock_timestamp()
column lane_leases.lane integer not null
column lane_leases.owner text not null
column lane_leases.fencing_number bigint not null
column lane_leases.expires_at timestamp with time zone not null
column lane_replicas.owner text not null
column lane_replicas.expires_at timestamp with time zone not null
column partition_blocks.view_set text not null
column partition_blocks.instance text not null
column partition_blocks.schema_hash text not null
column partition_blocks.block_id uuid not null
column partition_blocks.partition_key bigint not null
column partition_blocks.position integer not null
column partitions.partition_key bigint not null identity a
column partitions.partition_id text not null
column partitions.view_set text not null
column partitions.instance text not null
column partitions.schema_hash text not null
column partitions.kind text not null
column partitions.source_hash text not null
column partitions.begin_insert_time timestamp with time zone not null
column partitions.end_insert_time timestamp with time zone not null
column partitions.min_event_ns bigint
column partitions.max_event_ns bigint
column partitions.carry_in_hash text
column partitions.carry_out_hash text
column partitions.object_key text
column partitions.row_count bigint not null
column partitions.event_count bigint not null
column partitions.size_bytes bigint not null
column partitions.written_at timestamp with time zone not null default clock_timestamp()
column processes.process_id uuid not null
column processes.exe text not null
column processes.username text not null
column processes.realname text not null
column processes.computer text not null
column processes.distro text not null
column processes.cpu_brand text not null
column processes.tsc_frequency bigint not null
column processes.start_time timestamp with time zone not null
column processes.start_ticks bigint not null
column processes.insert_time timestamp with time zone not null default clock_timestamp()
column processes.parent_process_id uuid
column processes.properties jsonb not null
column read_leases.lease_id uuid not null default gen_random_uuid()
column read_leases.owner text not null
column read_leases.opened_at timestamp with time zone not null default clock_timestamp()
column read_leases.opened_snapshot pg_snapshot not null default pg_current_snapshot()
column read_leases.expires_at timestamp with time zone not null
column rejected_blocks.view_set text not null
column rejected_blocks.block_id uuid not null
column rejected_blocks.reason text not null
column rejected_blocks.rejected_at timestamp with time zone not null default clock_timestamp()
column retired_objects.object_key text not null
column retired_objects.retired_at timestamp with time zone not null default clock_timestamp()
column retired_objects.retired_by xid8 not null default pg_current_xact_id()
column schema_migrations.version integer not null
column schema_migrations.name text not null
column schema_migrations.sha256 text not null
column schema_migrations.applied_at timestamp with time zone not null default clock_timestamp()
column schema_migrations.oldest_code integer
column streams.stream_id uuid not null
column streams.process_id uuid not null
column streams.dependencies_metadata bytea not null
column streams.objects_metadata bytea not null
column streams.metadata_sha256 bytea not null
column streams.tags text[] not null
column streams.properties jsonb not null
column streams.format text not null default 'micromegas-transit'::text
column streams.insert_time timestamp with time zone not null default clock_timestamp()
column unannounced.kind text not null
column unannounced.id uuid not null
column unannounced.since timestamp with time zone not null default clock_timestamp()
constraint blocks.blocks_content_sha256_check CHECK ((octet_length(content_sha256) = 32))
constraint blocks.blocks_payload_size_check CHECK ((payload_size >= 0))
constraint blocks.blocks_pkey PRIMARY KEY (block_id)
constraint carries.carries_partition_key_fkey FOREIGN KEY (partition_key) REFERENCES partitions(partition_key) ON DELETE CASCADE
constraint carries.carries_pkey PRIMARY KEY (partition_key)
constraint claims.claims_pkey PRIMARY KEY (view_set, instance)
constraint lake_settings.lake_settings_lanes_check CHECK ((lanes > 0))
constraint lake_settings.lake_settings_only_row_check CHECK (only_row)
constraint lake_settings.lake_settings_pkey PRIMARY KEY (only_row)
constraint lane_leases.lane_leases_lane_check CHECK ((lane >= 0))
constraint lane_leases.lane_leases_pkey PRIMARY KEY (lane)
constraint lane_replicas.lane_replicas_pkey PRIMARY KEY (owner)
constraint partition_blocks.partition_blocks_partition_key_fkey FOREIGN KEY (partition_key) REFERENCES partitions(partition_key) ON DELETE CASCADE
constraint partition_blocks.partition_blocks_pkey PRIMARY KEY (view_set, instance, schema_hash, block_id)
constraint partitions.partitions_check CHECK ((begin_insert_time <= end_insert_time))
constraint partitions.partitions_check1 CHECK (((object_key IS NULL) = (row_count = 0)))
constraint partitions.partitions_check2 CHECK ((((min_event_ns IS NULL) = (max_event_ns IS NULL)) AND (min_event_ns <= max_event_ns)))
constraint partitions.partitions_event_count_check CHECK ((event_count >= 0))
constraint partitions.partitions_kind_check CHECK ((kind = ANY (ARRAY['run'::text, 'tail'::text])))
constraint partitions.partitions_pkey PRIMARY KEY (partition_key)
constraint partitions.partitions_row_count_check CHECK ((row_count >= 0))
constraint partitions.partitions_size_bytes_check CHECK ((size_bytes >= 0))
constraint processes.processes_pkey PRIMARY KEY (process_id)
constraint processes.processes_properties_check CHECK ((jsonb_typeof(properties) = 'object'::text))
constraint read_leases.read_leases_pkey PRIMARY KEY (lease_id)
constraint rejected_blocks.rejected_blocks_pkey PRIMARY KEY (view_set, block_id)
constraint retired_objects.retired_objects_pkey PRIMARY KEY (object_key)
constraint schema_migrations.schema_migrations_pkey PRIMARY KEY (version)
constraint streams.streams_metadata_sha256_check CHECK ((octet_length(metadata_sha256) = 32))
constraint streams.streams_pkey PRIMARY KEY (stream_id)
constraint streams.streams_properties_check CHECK ((jsonb_typeof(properties) = 'object'::text))
constraint unannounced.unannounced_kind_check CHECK ((kind = ANY (ARRAY['process'::text, 'stream'::text, 'block'::text])))
constraint unannounced.unannounced_pkey PRIMARY KEY (kind, id)
index CREATE INDEX blocks_insert_time ON public.blocks USING btree (insert_time)
index CREATE UNIQUE INDEX blocks_pkey ON public.blocks USING btree (block_id)
index CREATE INDEX blocks_process_end_time ON public.blocks USING btree (process_id, end_time)
index CREATE INDEX blocks_stream_order ON public.blocks USING btree (process_id, stream_id, begin_ticks, end_ticks, object_offset, block_id)
index CREATE UNIQUE INDEX carries_pkey ON public.carries USING btree (partition_key)
index CREATE UNIQUE INDEX claims_pkey ON public.claims USING btree (view_set, instance)
index CREATE UNIQUE INDEX lake_settings_pkey ON public.lake_settings USING btree (only_row)
index CREATE UNIQUE INDEX lane_leases_pkey ON public.lane_leases USING btree (lane)
index CREATE UNIQUE INDEX lane_replicas_pkey ON public.lane_replicas USING btree (owner)
index CREATE UNIQUE INDEX partition_blocks_order ON public.partition_blocks USING btree (partition_key, "position")
index CREATE UNIQUE INDEX partition_blocks_pkey ON public.partition_blocks USING btree (view_set, instance, schema_hash, block_id)
index CREATE INDEX partitions_id ON public.partitions USING btree (partition_id)
index CREATE UNIQUE INDEX partitions_instance ON public.partitions USING btree (view_set, instance, schema_hash, partition_id)
index CREATE UNIQUE INDEX partitions_object_key ON public.partitions USING btree (object_key) WHERE (object_key IS NOT NULL)
index CREATE UNIQUE INDEX partitions_one_tail ON public.partitions USING btree (view_set, instance, schema_hash) WHERE (kind = 'tail'::text)
index CREATE UNIQUE INDEX partitions_pkey ON public.partitions USING btree (partition_key)
index CREATE INDEX processes_insert_time ON public.processes USING btree (insert_time)
index CREATE INDEX processes_parent ON public.processes USING btree (parent_process_id) WHERE (parent_process_id IS NOT NULL)
index CREATE UNIQUE INDEX processes_pkey ON public.processes USING btree (process_id)
index CREATE INDEX processes_start_time ON public.processes USING btree (start_time)
index CREATE INDEX read_leases_expiry ON public.read_leases USING btree (expires_at)
index CREATE UNIQUE INDEX read_leases_pkey ON public.read_leases USING btree (lease_id)
index CREATE INDEX rejected_blocks_block ON public.rejected_blocks USING btree (block_id)
index CREATE UNIQUE INDEX rejected_blocks_pkey ON public.rejected_blocks USING btree (view_set, block_id)
index CREATE UNIQUE INDEX retired_objects_pkey ON public.retired_objects USING btree (object_key)
index CREATE UNIQUE INDEX schema_migrations_pkey ON public.schema_migrations USING btree (version)
index CREATE INDEX streams_insert_time ON public.streams USING btree (insert_time)
index CREATE UNIQUE INDEX streams_pkey ON public.streams USING btree (stream_id)
index CREATE INDEX streams_process ON public.streams USING btree (process_id)
index CREATE UNIQUE INDEX unannounced_pkey ON public.unannounced USING btree (kind, id)
index CREATE INDEX unannounced_since ON public.unannounced USING btree (kind, since)
trigger CREATE TRIGGER blocks_immutable BEFORE UPDATE ON public.blocks FOR EACH ROW EXECUTE FUNCTION refuse_update()
trigger CREATE TRIGGER processes_immutable BEFORE UPDATE ON public.processes FOR EACH ROW EXECUTE FUNCTION refuse_update()
trigger CREATE TRIGGER streams_immutable BEFORE UPDATE ON public.streams FOR EACH ROW EXECUTE FUNCTION refuse_update()
