-- Which replicas of the materializer are alive, lanes or not: without it nobody would make room for a newcomer.
CREATE TABLE lane_replicas (
  owner text PRIMARY KEY,
  expires_at timestamptz NOT NULL
);

-- Replicas of the version before say that they are alive by rows of lane_leases from this number on, and may go on
-- running beside: such rows count as long as they have not expired, so only those that have are taken away.
DELETE FROM lane_leases WHERE lane >= 1000000 AND expires_at <= clock_timestamp();
