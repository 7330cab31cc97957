import { runService } from '@tracelake/service-kit';
import { readConfig } from './config.ts';
import { keepFreedMemory } from './freed-memory.ts';
import { letHeapsGrow } from './heap-growth.ts';
import { createMaterializerService } from './service.ts';

letHeapsGrow();
keepFreedMemory();
await runService({
  name: 'partition-materializer',
  readConfig,
  createService: createMaterializerService,
});
