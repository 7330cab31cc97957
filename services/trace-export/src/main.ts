import { runService } from '@tracelake/service-kit';
import { readTraceExportConfig } from './config.ts';
import { createTraceExportService } from './service.ts';

await runService({
  name: 'trace-export',
  readConfig: readTraceExportConfig,
  createService: createTraceExportService,
});
