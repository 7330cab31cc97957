export { Bus, type ConnectBusOptions, connectBus, type RecreatedListener } from './bus.ts';
export { BusError, type BusErrorCode } from './bus-error.ts';
export type { BusEvent, BusEventListener, ConsumerOutcome } from './bus-event.ts';
export type { BusFigures, ConsumerFigures, StreamFigures } from './bus-figures.ts';
export type {
  BusConsumer,
  ConsumeOptions,
  HandlerContext,
  HandlerOutcome,
  StreamMessages,
} from './consume-options.ts';
export { DEAD_LETTER_HEADERS, type DeadLetter } from './dead-letter.ts';
export {
  DeadLetters,
  type DeadLettersOptions,
  type ListDeadLettersOptions,
  openDeadLetters,
} from './dead-letters.ts';
export { laneOf, xxHash64OfText } from './lanes.ts';
export { decodeMessage, encodeMessage, SCHEMA_VERSIONS } from './message-codec.ts';
export type {
  BlockInserted,
  BusMessage,
  BusMessageKind,
  MaterializeRequested,
  PartitionEvent,
  ProcessInserted,
  StreamInserted,
} from './messages.ts';
export { messageIdOf, subjectOf } from './messages.ts';
export type { PartitionKey, WaitOptions } from './partition-events.ts';
export type { NextOptions, PartitionWaiter } from './partition-waiter.ts';
export type { PublishOptions, PublishReceipt } from './publisher.ts';
export {
  DEFAULT_STREAM_SETTINGS,
  type StreamBounds,
  type StreamSettings,
} from './stream-configs.ts';
export {
  type PartitionOutcome,
  STREAM_NAMES,
  type StreamName,
  subjectFilters,
  type TelemetryKind,
} from './subjects.ts';
