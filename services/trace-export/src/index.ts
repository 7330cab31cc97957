export { readTraceExportConfig, type TraceExportConfig } from './config.ts';
export { createTraceExportService, type TraceExportOverrides } from './service.ts';
