import type { DuckDBDataChunk } from '@duckdb/node-api';
import {
  AsyncByteQueue,
  Field,
  makeData,
  RecordBatch,
  RecordBatchStreamWriter,
  Schema,
  Struct,
} from 'apache-arrow';
import { type ColumnGatherer, createGatherer } from './arrow-columns.ts';
import type { ResultColumn } from './result-columns.ts';
import type { ResultEncoder } from './result-encoder.ts';

/** A record batch ends with the chunk that reaches either. */
const BATCH_ROWS = 32_768;
const BATCH_BYTES = 4 * 1024 * 1024;

/** An Arrow IPC stream; one without its end mark was cut short. */
export class ArrowEncoder implements ResultEncoder {
  readonly #schema: Schema;
  readonly #gatherers: readonly ColumnGatherer[];
  readonly #parts = new PartQueue();
  readonly #writer = new RecordBatchStreamWriter();
  #rows = 0;
  #bytes = 0;

  constructor(columns: readonly ResultColumn[]) {
    this.#gatherers = columns.map(createGatherer);
    this.#schema = new Schema(
      columns.map(({ name }, at) => new Field(name, this.#gatherers[at]?.type as never, true)),
    );
  }

  begin(): Uint8Array {
    this.#writer.reset(this.#parts as AsyncByteQueue<Uint8Array<ArrayBuffer>>, this.#schema);
    return this.#parts.take();
  }

  add(chunk: DuckDBDataChunk): Uint8Array {
    for (const gatherer of this.#gatherers) this.#bytes += gatherer.add(chunk);
    this.#rows += chunk.rowCount;
    if (this.#rows >= BATCH_ROWS || this.#bytes >= BATCH_BYTES) this.#writeBatch();
    return this.#parts.take();
  }

  end(): Uint8Array {
    if (this.#rows > 0) this.#writeBatch();
    this.#writer.finish();
    return this.#parts.take();
  }

  #writeBatch(): void {
    const data = makeData({
      type: new Struct(this.#schema.fields),
      length: this.#rows,
      nullCount: 0,
      children: this.#gatherers.map((gatherer) => gatherer.take()),
    });
    this.#writer.write(new RecordBatch(this.#schema, data));
    this.#rows = 0;
    this.#bytes = 0;
  }
}

/** Gathers what the writer produces for one batch: the queue it has of its own is without bound. */
class PartQueue extends AsyncByteQueue {
  #parts: Uint8Array[] = [];

  override write(part: unknown): void {
    if (part instanceof Uint8Array) this.#parts.push(part);
  }

  /** Everything since the last call, copied. */
  take(): Uint8Array {
    const bytes = Buffer.concat(this.#parts);
    this.#parts = [];
    return bytes;
  }
}
