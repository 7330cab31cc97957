import type { ProcessRepository } from '@tracelake/storage';
import { decodeProcessInfo } from '@tracelake/transit';
import type { Announcer } from '../announcer.ts';
import { checkProcessFields } from '../field-limits.ts';
import type { TelemetryEvents } from '../telemetry-events.ts';
import { nowUs } from '../wall-clock.ts';
import type { NativeHandler } from './native-route.ts';

export interface ProcessHandlerPorts {
  readonly processes: ProcessRepository;
  readonly announcer: Announcer;
  readonly events: TelemetryEvents;
}

/** `POST /ingestion/insert_process`: the first write of an id wins. */
export function insertProcess({
  processes,
  announcer,
  events,
}: ProcessHandlerPorts): NativeHandler {
  return async (body, signal) => {
    const process = decodeProcessInfo(body);
    checkProcessFields(process);
    const outcome = await processes.insertIfAbsent(process, signal);
    events.metadataWritten('process', outcome, process.processId);
    if (outcome === 'exists') return;
    announcer.announce({ kind: 'process', processId: process.processId, insertTimeUs: nowUs() });
  };
}
