import { runService } from '@tracelake/service-kit';
import { readConfig } from './config.ts';
import { createMaterializerService } from './service.ts';

await runService({
  name: 'partition-materializer',
  readConfig,
  createService: createMaterializerService,
});
