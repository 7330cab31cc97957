/** The only mapping of errors to answers. */

import { ChannelClosedError } from '@tracelake/channels';
import { AppError, assertUnreachable } from '@tracelake/domain';
import { LakeReadingError } from '@tracelake/lake-reading';
import { type Problem, problem } from '@tracelake/service-kit';
import { StorageError } from '@tracelake/storage';
import { ExportError } from '../export-error.ts';

/** The answer to an error of this service's own calls; undefined leaves it to the common mapping. */
export function problemOfExportError(error: unknown): Problem | undefined {
  if (error instanceof ExportError) return problemOfOwnError(error);
  if (error instanceof LakeReadingError) {
    const status = error.code === 'lake-reading.build-timeout' ? 504 : 503;
    return problem({ code: error.code, status, detail: error.message, facts: error.details });
  }
  if (error instanceof StorageError && isWorthAnotherTry(error)) {
    return problem({ code: error.code, status: 503, detail: `${error.message}; try again` });
  }
  if (error instanceof ChannelClosedError) return problemOfExportError(error.cause);
  if (error instanceof AppError && error.code.startsWith('bus.')) {
    return problem({
      code: error.code,
      status: 503,
      detail: `partitions must be built first and the bus does not take the request: ${error.message}`,
    });
  }
  return undefined;
}

/** The next export looks at the catalog anew: what it names then is not the object that is gone. */
function isWorthAnotherTry({ code, retryable }: StorageError): boolean {
  return retryable || code === 'storage.object-missing' || code === 'storage.lease-lost';
}

function problemOfOwnError(error: ExportError): Problem {
  const { code, message: detail, details: facts } = error;
  return problem({ code, status: statusOf(error), detail, facts });
}

function statusOf({ code }: ExportError): number {
  switch (code) {
    case 'trace-export.bad-parameter':
      return 400;
    case 'trace-export.unknown-process':
      return 404;
    case 'trace-export.busy':
    case 'trace-export.bus-unavailable':
      return 503;
    case 'trace-export.client-gone':
    case 'trace-export.client-stalled':
    case 'trace-export.spans-out-of-order':
      return 500;
    default:
      return assertUnreachable(code);
  }
}
