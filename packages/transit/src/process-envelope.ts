import { nanoseconds, type ProcessInfo, ticks, truncateToMicroseconds } from '@tracelake/domain';
import { CborReader } from './cbor-reader.ts';
import {
  readInt64,
  readOptionalProcessId,
  readProcessId,
  readProperties,
  readRecord,
  readText,
  readTime,
  withoutReservedProperties,
} from './cbor-record.ts';

/**
 * Decodes the body of `insert_process`. Properties in the reserved namespace `micromegas.` are dropped;
 * the start time is cut to whole microseconds, which is what the store keeps.
 *
 * Errors: `TransitDecodeError`, naming the field: `transit.truncated`, `transit.malformed-cbor`,
 * `transit.missing-field`, `transit.bad-field`.
 * Source: rust/tracing/src/process_info.rs of the reference.
 */
export function decodeProcessInfo(body: Uint8Array): ProcessInfo {
  const fields = readRecord(new CborReader(body), {
    process_id: readProcessId,
    exe: readText,
    username: readText,
    realname: readText,
    computer: readText,
    distro: readText,
    cpu_brand: readText,
    tsc_frequency: readInt64,
    start_time: readTime,
    start_ticks: readInt64,
    parent_process_id: readOptionalProcessId,
    properties: readProperties,
  });
  return {
    processId: fields.process_id,
    exe: fields.exe,
    username: fields.username,
    realname: fields.realname,
    computer: fields.computer,
    distro: fields.distro,
    cpuBrand: fields.cpu_brand,
    tscFrequencyHz: fields.tsc_frequency,
    startNs: truncateToMicroseconds(nanoseconds(fields.start_time)),
    startTicks: ticks(fields.start_ticks),
    parentProcessId: fields.parent_process_id,
    properties: withoutReservedProperties(fields.properties),
  };
}
