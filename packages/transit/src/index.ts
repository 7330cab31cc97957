export type { BlockDecodeInput } from './block-decoding.ts';
export { type BlockEnvelope, decodeBlockEnvelope } from './block-envelope.ts';
export { blockPayloadPieces, decodeBlockPayload, encodeBlockPayload } from './block-payload.ts';
export { type ContentIdentity, contentSha256Of } from './content-hash.ts';
export { decodeLogBlock, type LogBlockColumns } from './decode-log-block.ts';
export {
  decodeMetricBlock,
  type MetricBlockColumns,
  type MetricBlockDecodeInput,
} from './decode-metric-block.ts';
export {
  type AsyncSpanBlockColumns,
  decodeAsyncSpanBlock,
  decodeThreadSpanBlock,
  type ThreadSpanBlockColumns,
} from './decode-span-blocks.ts';
export {
  type EnvelopeStyle,
  encodeBlockEnvelope,
  encodeProcessInfo,
  encodeStreamInfo,
} from './encode-envelopes.ts';
export {
  DEFAULT_DECOMPRESSED_BYTES_MAX,
  type DecompressionLimits,
  decodeLz4Frame,
} from './lz4-frame.ts';
export { decodeProcessInfo } from './process-envelope.ts';
export { listRawObjects, type RawObject } from './raw-objects.ts';
export { scopeHash } from './scope-hash.ts';
export type { SpanScope } from './span-scopes.ts';
export { decodeStreamInfo } from './stream-envelope.ts';
export { TransitDecodeError, type TransitErrorCode } from './transit-decode-error.ts';
export { decodeUserDefinedTypes, encodeUserDefinedTypes } from './type-metadata.ts';
export type { Utf8Rows } from './utf8-rows.ts';
export { xxh32 } from './xxh32.ts';
