import { type Chunk, chunkSchema } from '@tracelake/lakehouse';
import { AsyncByteQueue, RecordBatchStreamWriter } from 'apache-arrow';

/** How chunks become the bytes of a response body. */
export interface BodyEncoder {
  encode(chunk: Chunk): Uint8Array;
  /** What ends a whole body; empty where the end of the body says enough. */
  end(): Uint8Array;
}

/** The chunks' data, one after another. */
export class PlainBody implements BodyEncoder {
  encode(chunk: Chunk): Uint8Array {
    return chunk.data;
  }

  end(): Uint8Array {
    return new Uint8Array(0);
  }
}

/** The chunks as record batches in an Arrow IPC stream; a stream without its end mark was cut short. */
export class ArrowBody implements BodyEncoder {
  readonly #parts = new PartQueue();
  readonly #writer = new RecordBatchStreamWriter();

  constructor() {
    this.#writer.reset(this.#parts as AsyncByteQueue<Uint8Array<ArrayBuffer>>, chunkSchema);
  }

  encode(chunk: Chunk): Uint8Array {
    this.#writer.write(chunk.toRecordBatch());
    return this.#parts.take();
  }

  end(): Uint8Array {
    this.#writer.finish();
    return this.#parts.take();
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
