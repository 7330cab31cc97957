import { BlockRecorder } from './block-recorder.ts';

export interface LogSpec {
  /** Relative to the process's start. */
  readonly ticks: number;
  /** 1 fatal, 2 error, 3 warning, 4 info, 5 debug, 6 trace; info by default. */
  readonly level?: number;
  readonly target?: string;
  readonly message: string;
  readonly properties?: Readonly<Record<string, string>>;
  /** Sends the message as the constant of its description, not as text of the event. */
  readonly isConstant?: boolean;
}

const LOG_STATIC_STR_EVENT = 0;
const LOG_STRING_EVENT_V2 = 1;
const TAGGED_LOG_STRING = 4;

const LOG_METADATA_RECORD = 2;
const PROPERTY_SET_DEPENDENCY = 3;
const CODEC_UTF8 = 2;

/** A synthetic `log` stream. */
export class LogRecorder extends BlockRecorder {
  log(entry: LogSpec): void {
    const format = entry.isConstant ? entry.message : '{}';
    const description = this.#sendDescription(format, entry);
    if (entry.isConstant) {
      this.beginEvent(LOG_STATIC_STR_EVENT, entry.ticks);
      this.objects.pointer(description);
      this.writeTime(entry.ticks);
      return;
    }
    const message = Buffer.from(entry.message);
    const properties =
      entry.properties && this.sendProperties(PROPERTY_SET_DEPENDENCY, entry.properties);
    const isTagged = properties !== undefined;
    this.beginEvent(isTagged ? TAGGED_LOG_STRING : LOG_STRING_EVENT_V2, entry.ticks);
    this.objects.u32((isTagged ? 24 : 16) + 5 + message.length);
    this.objects.pointer(description);
    if (properties !== undefined) this.objects.pointer(properties);
    this.writeTime(entry.ticks);
    this.objects.u8(CODEC_UTF8);
    this.objects.u32(message.length);
    this.objects.raw(message);
  }

  #sendDescription(format: string, { level = 4, target = '' }: LogSpec): number {
    const pointer = this.context.pointerOf(`log ${JSON.stringify([format, level, target])}`);
    if (!this.mustSend(pointer)) return pointer;
    const [formatText, targetText] = [this.sendText(format), this.sendText(target)];
    this.dependencies.u8(LOG_METADATA_RECORD);
    this.dependencies.pointer(pointer);
    this.dependencies.pointer(formatText);
    for (let member = 0; member < 3; member += 1) this.dependencies.pointer(targetText);
    this.dependencies.u32(1);
    this.dependencies.u32(level);
    return pointer;
  }
}
