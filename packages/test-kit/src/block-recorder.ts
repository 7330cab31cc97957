/**
 * One synthetic stream: events and the dependencies they need gather in two buffers until a block is flushed.
 * As in the real clients, every block sends its dependencies again.
 */
import { type BlockInfo, nanoseconds, type StreamInfo, ticks } from '@tracelake/domain';
import { encodeLz4Frame, type Lz4FrameOptions } from './lz4-frame-encoder.ts';
import { RecordBuffer } from './record-buffer.ts';

/** Facts of the process that its streams share, and where finished blocks go. */
export interface RecordingContext {
  readonly startNs: bigint;
  readonly startTicks: number;
  /** Ticks per second of the producer's clock, whatever its process says. */
  readonly frequencyHz: number;
  readonly frame: Lz4FrameOptions;
  /** Numbers the things that pointers point at: the same text has one pointer in all streams. */
  pointerOf(kind: string): number;
  nextUuid(): string;
  emitBlock(block: BlockInfo, dependencies: Uint8Array, objects: Uint8Array): void;
}

export interface FlushOptions {
  /** Relative ticks; the end of the block before by default, else the first event. */
  readonly beginTicks?: number;
  /** Relative ticks; the last event by default. */
  readonly endTicks?: number;
  /** What the envelope claims, when it must not be the number of events. */
  readonly objectCount?: number;
}

export class BlockRecorder {
  readonly stream: StreamInfo;
  protected readonly context: RecordingContext;
  protected readonly objects = new RecordBuffer();
  protected readonly dependencies = new RecordBuffer();
  readonly #staticStringType: number;
  readonly #sentInBlock = new Set<number>();
  #eventCount = 0;
  #nextOffset = 0;
  #firstTicks: number | undefined;
  #lastTicks = 0;
  #previousEndTicks: number | undefined;

  constructor(context: RecordingContext, stream: StreamInfo) {
    this.context = context;
    this.stream = stream;
    this.#staticStringType = stream.dependenciesMetadata.findIndex(
      ({ name }) => name === 'StaticString',
    );
  }

  /** Events gathered since the last flush. */
  get eventCount(): number {
    return this.#eventCount;
  }

  /** Bytes of events gathered since the last flush. */
  get objectBytes(): number {
    return this.objects.length;
  }

  /** Event ids go on `count` further, as when the client drops a block. */
  skipEvents(count: number): void {
    this.#nextOffset += count;
  }

  /** Adds one record as it is, event or damage; it takes an event id. */
  appendRecord(record: Uint8Array): void {
    this.#eventCount += 1;
    this.objects.raw(record);
  }

  /** Ends the block and sends it; does nothing when there are no events. */
  flushBlock(options: FlushOptions = {}): void {
    if (this.#eventCount === 0) return;
    const beginTicks = options.beginTicks ?? this.#previousEndTicks ?? this.#firstTicks ?? 0;
    const endTicks = options.endTicks ?? Math.max(this.#lastTicks, beginTicks);
    this.context.emitBlock(
      {
        blockId: this.context.nextUuid() as BlockInfo['blockId'],
        streamId: this.stream.streamId,
        processId: this.stream.processId,
        beginNs: this.#timeOf(beginTicks),
        endNs: this.#timeOf(endTicks),
        beginTicks: ticks(BigInt(beginTicks)),
        endTicks: ticks(BigInt(endTicks)),
        objectCount: options.objectCount ?? this.#eventCount,
        objectOffset: BigInt(this.#nextOffset),
      },
      encodeLz4Frame(this.dependencies.bytes(), this.context.frame),
      encodeLz4Frame(this.objects.bytes(), this.context.frame),
    );
    this.#nextOffset += this.#eventCount;
    this.#eventCount = 0;
    this.#firstTicks = undefined;
    this.#previousEndTicks = endTicks;
    this.#sentInBlock.clear();
    this.objects.clear();
    this.dependencies.clear();
  }

  /** Begins a fixed-size event; the caller writes its members. */
  protected beginEvent(typeIndex: number, relativeTicks: number): void {
    this.#eventCount += 1;
    this.#firstTicks ??= relativeTicks;
    this.#lastTicks = relativeTicks;
    this.objects.u8(typeIndex);
  }

  protected writeTime(relativeTicks: number): void {
    this.objects.i64(this.context.startTicks + relativeTicks);
  }

  /** Whether this block has to send the dependency; it counts as sent from then on. */
  protected mustSend(pointer: number): boolean {
    if (this.#sentInBlock.has(pointer)) return false;
    this.#sentInBlock.add(pointer);
    return true;
  }

  protected sendText(text: string): number {
    const pointer = this.context.pointerOf(`text ${text}`);
    if (!this.mustSend(pointer)) return pointer;
    const bytes = Buffer.from(text);
    this.dependencies.u8(this.#staticStringType);
    this.dependencies.u32(8 + bytes.length);
    this.dependencies.pointer(pointer);
    this.dependencies.raw(bytes);
    return pointer;
  }

  /** Sends a property set of the log and metric queues, where `Property` is 32 bytes. */
  protected sendProperties(
    typeIndex: number,
    properties: Readonly<Record<string, string>>,
  ): number {
    const entries = Object.entries(properties).map(
      ([name, value]) => [this.sendText(name), this.sendText(value)] as const,
    );
    const pointer = this.context.pointerOf(`properties ${JSON.stringify(properties)}`);
    if (!this.mustSend(pointer)) return pointer;
    this.dependencies.u8(typeIndex);
    this.dependencies.u32(12 + 32 * entries.length);
    this.dependencies.pointer(pointer);
    this.dependencies.u32(entries.length);
    for (const text of entries.flat()) {
      this.dependencies.pointer(text);
      this.dependencies.padding(8);
    }
    return pointer;
  }

  #timeOf(relativeTicks: number): BlockInfo['beginNs'] {
    const elapsedNs = Math.round((relativeTicks / this.context.frequencyHz) * 1e9);
    return nanoseconds(this.context.startNs + BigInt(elapsedNs));
  }
}
