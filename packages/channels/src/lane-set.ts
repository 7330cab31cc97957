/**
 * Lanes: independent pipelines, each with a reader and a writer that factories make for it. Nothing of this stands
 * between a reader and its writer: a pipeline uses the two directly, so one lane costs what none does.
 */

import { assert } from '@tracelake/domain';

/** Makes the reader that one lane has to itself. */
export interface ReaderFactory<Reader> {
  createReader(lane: number): Reader;
}

/** Makes the writer that one lane has to itself. */
export interface WriterFactory<Writer> {
  createWriter(lane: number): Writer;
}

/** What a lane shares with no other. */
export interface LaneParts<Reader, Writer> {
  readonly lane: number;
  readonly reader: Reader;
  readonly writer: Writer;
}

type Owned = AsyncDisposable | Disposable | object;

/**
 * The lanes that this process works on. A lane is open once at a time: it can be opened again only when all it had
 * is closed.
 */
export class LaneSet<Reader extends Owned, Writer extends Owned, Pipeline extends AsyncDisposable> {
  readonly #factories: ReaderFactory<Reader> & WriterFactory<Writer>;
  readonly #open = new Set<number>();
  readonly #pipelines = new Map<number, Pipeline>();

  constructor(factories: ReaderFactory<Reader> & WriterFactory<Writer>) {
    this.#factories = factories;
  }

  /** The pipeline of an open lane; undefined when it is closed or closing. */
  find(lane: number): Pipeline | undefined {
    return this.#pipelines.get(lane);
  }

  /**
   * Starts a lane's pipeline on a reader and a writer of its own. Disposing of the result closes the pipeline, then the
   * writer, then the reader, once however often it is called.
   *
   * Errors: whatever a factory or `start` throws; what was made by then is closed.
   */
  open(
    lane: number,
    start: (parts: LaneParts<Reader, Writer>) => Pipeline,
  ): AsyncDisposable & { readonly pipeline: Pipeline } {
    assert(!this.#open.has(lane), `lane ${lane} is worked once at a time`);
    this.#open.add(lane);
    const owned = new AsyncDisposableStack();
    owned.defer(() => {
      this.#open.delete(lane);
    });
    let pipeline: Pipeline;
    try {
      const reader = closeLater(owned, this.#factories.createReader(lane));
      const writer = closeLater(owned, this.#factories.createWriter(lane));
      pipeline = owned.use(start({ lane, reader, writer }));
    } catch (error) {
      void owned.disposeAsync().catch(() => {});
      throw error;
    }
    this.#pipelines.set(lane, pipeline);
    let closing: Promise<void> | undefined;
    return {
      pipeline,
      [Symbol.asyncDispose]: () => {
        this.#pipelines.delete(lane);
        closing ??= owned.disposeAsync();
        return closing;
      },
    };
  }
}

function closeLater<T extends Owned>(owned: AsyncDisposableStack, part: T): T {
  if (Symbol.asyncDispose in part || Symbol.dispose in part) {
    owned.use(part as AsyncDisposable | Disposable);
  }
  return part;
}
