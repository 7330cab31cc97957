import { runService } from '@tracelake/service-kit';
import { readIngestConfig } from './config.ts';
import { createIngestService } from './service.ts';

await runService({
  name: 'ingest',
  readConfig: readIngestConfig,
  createService: createIngestService,
});
