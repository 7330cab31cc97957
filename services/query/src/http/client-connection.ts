import type { ServerResponse } from 'node:http';
import { QueryError } from '../query-error.ts';

/** Notices a client that goes away before its answer is complete. */
export class ClientConnection implements Disposable {
  readonly #response: ServerResponse;
  readonly #gone = new AbortController();
  readonly #onClose = () => {
    if (this.#response.writableFinished) return;
    this.#gone.abort(new QueryError('query.client-gone', 'the client has gone away'));
  };

  constructor(response: ServerResponse) {
    this.#response = response;
    response.once('close', this.#onClose);
    if (response.destroyed) this.#onClose();
  }

  /** Fires with `query.client-gone`. */
  get signal(): AbortSignal {
    return this.#gone.signal;
  }

  [Symbol.dispose](): void {
    this.#response.off('close', this.#onClose);
  }
}
