/**
 * The protobuf schemas of what goes over the bus. `schema_version` is the version of the schema that a message
 * breaks with: a new optional field leaves it as it is (readers skip what they do not know), a changed meaning
 * raises it, and a reader refuses a version above its own.
 */
export const MESSAGE_PROTO = `
syntax = "proto3";
package tracelake.bus;

message ProcessInserted {
  uint32 schema_version = 1;
  string process_id = 2;
  // Microseconds since the Unix epoch, as the row has it.
  int64 insert_time_us = 3;
}

message StreamInserted {
  uint32 schema_version = 1;
  string process_id = 2;
  string stream_id = 3;
  repeated string tags = 4;
  int64 insert_time_us = 5;
}

message BlockInserted {
  uint32 schema_version = 1;
  string process_id = 2;
  string stream_id = 3;
  string block_id = 4;
  // Tags of the block's stream; empty while the stream is not known yet.
  repeated string tags = 5;
  int64 insert_time_us = 6;
  uint32 object_count = 7;
  uint64 payload_bytes = 8;
}

message MaterializeRequested {
  uint32 schema_version = 1;
  string process_id = 2;
  string view_set = 3;
  string instance = 4;
  // Event time in nanoseconds since the Unix epoch, inclusive at both ends; absent means unbounded.
  optional int64 begin_ns = 5;
  optional int64 end_ns = 6;
  // Names the set of blocks that the requester wants covered.
  string wanted_hash = 7;
  // Raised by a requester that asks again: the same request of the same attempt is stored once.
  uint32 attempt = 8;
  // The schema of the view that the requester reads; empty means the newest.
  string schema_hash = 9;
}

message PartitionEvent {
  enum Outcome {
    UNSPECIFIED = 0;
    WRITTEN = 1;
    CURRENT = 2;
    FAILED = 3;
  }
  uint32 schema_version = 1;
  string view_set = 2;
  string instance = 3;
  Outcome outcome = 4;
  string partition_id = 5;
  string source_hash = 6;
  string error_code = 7;
  string error_message = 8;
}
`;
