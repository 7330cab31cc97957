/**
 * The only mapping of errors to answers. Native clients take every 4xx as "never again" and drop the block,
 * so a 4xx here means that this request can never succeed, and every failure of ours is a 503.
 */
import { AppError } from '@tracelake/domain';
import { type Problem, problem } from '@tracelake/service-kit';
import { StorageError } from '@tracelake/storage';
import { TransitDecodeError } from '@tracelake/transit';
import { IngestError } from '../ingest-error.ts';

/** The answer to an error of this service's own calls; undefined leaves it to the common mapping. */
export function problemOfIngestError(error: unknown): Problem | undefined {
  if (error instanceof TransitDecodeError) return problemOfDecodeError(error);
  if (error instanceof IngestError) return problemOfOwnError(error);
  if (error instanceof StorageError) return outage(error.code, 'the store does not serve now');
  if (error instanceof AppError && error.retryable) return outage(error.code, error.message);
  return undefined;
}

function problemOfDecodeError(error: TransitDecodeError): Problem {
  const isTooLarge = error.code === 'transit.too-large';
  const remedy = isTooLarge
    ? 'send smaller blocks'
    : 'the body must be CBOR as the native protocol has it';
  return problem({
    code: error.code,
    status: isTooLarge ? 413 : 400,
    detail: `${error.message}; ${remedy}`,
    facts: error.details,
  });
}

function problemOfOwnError(error: IngestError): Problem {
  const { code, message: detail, details: facts } = error;
  switch (code) {
    case 'ingest.block-conflict':
    case 'ingest.process-mismatch':
      return problem({ code, status: 409, detail, facts });
    case 'ingest.field-too-long':
      return problem({ code, status: 400, detail, facts });
    case 'ingest.object-vanished':
    case 'ingest.overloaded':
    case 'ingest.write-timeout':
      return outage(code, detail);
  }
}

function outage(code: string, what: string): Problem {
  return problem({
    code,
    status: 503,
    detail: `${what}; nothing was acknowledged, send this again`,
  });
}
