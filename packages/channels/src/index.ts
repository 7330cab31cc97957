export {
  BoundedChannel,
  type BoundedChannelOptions,
  type ChannelStats,
  type Received,
} from './bounded-channel.ts';
export { ChannelClosedError } from './channel-error.ts';
export { type LaneParts, LaneSet, type ReaderFactory, type WriterFactory } from './lane-set.ts';
export {
  type PipelineObserver,
  type PipelineStage,
  type StageWait,
  withToken,
  withTokens,
} from './pipeline-observer.ts';
export { ReorderBuffer } from './reorder-buffer.ts';
export { runStagedPipeline, type StagedPipelineOptions } from './staged-pipeline.ts';
export { TokenPool } from './token-pool.ts';
