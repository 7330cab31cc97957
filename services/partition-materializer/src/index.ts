export { type MaterializerConfig, readConfig } from './config.ts';
export { createMaterializerService, type MaterializerOverrides } from './service.ts';
