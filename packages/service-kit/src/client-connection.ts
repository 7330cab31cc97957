import type { ServerResponse } from 'node:http';

/** Notices a client that goes away before its answer is complete. */
export class ClientConnection implements Disposable {
  readonly #response: ServerResponse;
  readonly #gone = new AbortController();
  readonly #onClose: () => void;

  /** `goneError` makes the reason of `signal` in the service's own words. */
  constructor(response: ServerResponse, goneError: () => Error) {
    this.#response = response;
    this.#onClose = () => {
      if (response.writableFinished) return;
      this.#gone.abort(goneError());
    };
    response.once('close', this.#onClose);
    if (response.destroyed) this.#onClose();
  }

  /** Fires when the client has gone. */
  get signal(): AbortSignal {
    return this.#gone.signal;
  }

  [Symbol.dispose](): void {
    this.#response.off('close', this.#onClose);
  }
}
