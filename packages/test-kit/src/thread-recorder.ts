import { BlockRecorder } from './block-recorder.ts';
import { FUTURE_EVENT_TYPE_INDEX } from './native-types.ts';

/** Where a span is declared in the source of the recorded program. Reuse one object for many events. */
export interface ScopeSpec {
  readonly name: string;
  readonly target?: string;
  readonly file?: string;
  readonly line?: number;
}

export interface AsyncEventSpec {
  readonly scope: ScopeSpec;
  /** Relative to the process's start. */
  readonly ticks: number;
  readonly spanId: number;
  readonly parentSpanId?: number;
  readonly depth?: number;
  /** A name given at run time makes it a named span; the scope's own name is not sent. */
  readonly name?: string;
}

const BEGIN_THREAD_SPAN = 0;
const END_THREAD_SPAN = 1;
const BEGIN_THREAD_NAMED_SPAN = 2;
const END_THREAD_NAMED_SPAN = 3;
const BEGIN_ASYNC_SPAN = 4;
const BEGIN_ASYNC_NAMED_SPAN = 6;

const SPAN_RECORD = 0;
const SPAN_LOCATION_RECORD = 1;

/** A synthetic `cpu` stream. Nothing checks that spans nest: what is recorded is what is sent. Ticks are relative. */
export class ThreadRecorder extends BlockRecorder {
  readonly #descriptions = new Map<ScopeSpec, number>();

  begin(scope: ScopeSpec, ticks: number): void {
    this.#threadEvent(BEGIN_THREAD_SPAN, scope, ticks);
  }

  end(scope: ScopeSpec, ticks: number): void {
    this.#threadEvent(END_THREAD_SPAN, scope, ticks);
  }

  /** A span whose name is given at run time, at the scope's location. */
  beginNamed(scope: ScopeSpec, name: string, ticks: number): void {
    this.#namedThreadEvent(BEGIN_THREAD_NAMED_SPAN, scope, name, ticks);
  }

  endNamed(scope: ScopeSpec, name: string, ticks: number): void {
    this.#namedThreadEvent(END_THREAD_NAMED_SPAN, scope, name, ticks);
  }

  asyncBegin(event: AsyncEventSpec): void {
    this.#asyncEvent(0, event);
  }

  asyncEnd(event: AsyncEventSpec): void {
    this.#asyncEvent(1, event);
  }

  /** An event of a type this version does not know. */
  futureEvent(ticks: number): void {
    this.beginEvent(FUTURE_EVENT_TYPE_INDEX, ticks);
    this.objects.u32(3);
    this.objects.padding(3);
  }

  #threadEvent(typeIndex: number, scope: ScopeSpec, ticks: number): void {
    const description = this.#sendDescription(scope);
    this.beginEvent(typeIndex, ticks);
    this.objects.pointer(description);
    this.writeTime(ticks);
  }

  #namedThreadEvent(typeIndex: number, scope: ScopeSpec, name: string, ticks: number): void {
    const location = this.#sendLocation(scope);
    const nameText = this.sendText(name);
    this.beginEvent(typeIndex, ticks);
    this.objects.pointer(location);
    this.objects.pointer(nameText);
    this.objects.u32(Buffer.byteLength(name));
    this.objects.padding(4);
    this.writeTime(ticks);
  }

  #asyncEvent(endOffset: 0 | 1, event: AsyncEventSpec): void {
    const { scope, name, ticks } = event;
    const scopePointer =
      name === undefined ? this.#sendDescription(scope) : this.#sendLocation(scope);
    const nameText = name === undefined ? undefined : this.sendText(name);
    const typeIndex = name === undefined ? BEGIN_ASYNC_SPAN : BEGIN_ASYNC_NAMED_SPAN;
    this.beginEvent(typeIndex + endOffset, ticks);
    this.objects.pointer(scopePointer);
    if (nameText !== undefined) {
      this.objects.pointer(nameText);
      this.objects.padding(8);
    }
    this.objects.i64(event.spanId);
    this.objects.i64(event.parentSpanId ?? 0);
    this.writeTime(ticks);
    this.objects.u32(event.depth ?? 0);
    this.objects.padding(4);
  }

  #sendDescription(scope: ScopeSpec): number {
    const known = this.#descriptions.get(scope);
    const pointer = known ?? this.context.pointerOf(`description ${JSON.stringify(scope)}`);
    if (known === undefined) this.#descriptions.set(scope, pointer);
    if (!this.mustSend(pointer)) return pointer;
    const name = this.sendText(scope.name);
    this.#sendPlace(SPAN_RECORD, pointer, scope, name);
    return pointer;
  }

  #sendLocation(scope: ScopeSpec): number {
    const { target, file, line } = scope;
    const pointer = this.context.pointerOf(`location ${JSON.stringify([target, file, line])}`);
    if (this.mustSend(pointer)) this.#sendPlace(SPAN_LOCATION_RECORD, pointer, scope);
    return pointer;
  }

  #sendPlace(typeIndex: number, pointer: number, scope: ScopeSpec, name?: number): void {
    const target = this.sendText(scope.target ?? '');
    const file = this.sendText(scope.file ?? '');
    this.dependencies.u8(typeIndex);
    this.dependencies.pointer(pointer);
    if (name !== undefined) this.dependencies.pointer(name);
    this.dependencies.pointer(target);
    this.dependencies.pointer(target);
    this.dependencies.pointer(file);
    this.dependencies.u32(scope.line ?? 0);
    this.dependencies.u32(2);
  }
}
