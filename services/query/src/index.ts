export { type QueryConfig, readQueryConfig } from './config.ts';
export { createQueryService } from './service.ts';
