export { type IngestConfig, readIngestConfig } from './config.ts';
export { createIngestService } from './service.ts';
