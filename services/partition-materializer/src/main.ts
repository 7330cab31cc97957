import { runService } from '@tracelake/service-kit';
import { readConfig } from './config.ts';
import { letHeapsGrow } from './heap-growth.ts';
import { createMaterializerService } from './service.ts';

letHeapsGrow();
await runService({
  name: 'partition-materializer',
  readConfig,
  createService: createMaterializerService,
});
