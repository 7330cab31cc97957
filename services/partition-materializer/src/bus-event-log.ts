import type { BusEvent } from '@tracelake/bus';
import type { Logger } from '@tracelake/service-kit';

/** Puts what the bus tells into the log; single messages are counted elsewhere. */
export function logBusEvent(event: BusEvent, logger: Logger): void {
  switch (event.type) {
    case 'connected':
      logger.info('bus connected', { server: event.server, serverVersion: event.serverVersion });
      return;
    case 'disconnected':
      logger.warn('bus disconnected');
      return;
    case 'streams-made':
      logger.info('bus streams made', { made: event.made, lost: event.lost });
      return;
    case 'connect-failed':
    case 'stream-setup-failed':
      logger.warn('bus not usable', { step: event.type, error: event.error });
      return;
    case 'consumer-failed': {
      const { stream, durable, error } = event;
      logger.warn('bus consumer failed and starts again', { stream, durable, error });
      return;
    }
    case 'dead-lettered': {
      const { stream, durable, subject, reason } = event;
      logger.error('bus message put aside', { stream, durable, subject, reason });
      return;
    }
    case 'published':
    case 'publish-failed':
    case 'consumer-made':
    case 'handled':
      return;
  }
}
