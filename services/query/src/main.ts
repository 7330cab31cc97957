import { runService } from '@tracelake/service-kit';
import { readQueryConfig } from './config.ts';
import { createQueryService } from './service.ts';

await runService({
  name: 'query',
  readConfig: readQueryConfig,
  createService: createQueryService,
});
