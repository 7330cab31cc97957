import { AppError } from '@tracelake/domain';

/** How a server's process ended. */
export interface ServerExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A real server that this process started and owns; disposing of it stops it. */
export interface LocalServer extends AsyncDisposable {
  readonly url: string;
  /** Which server was taken and from where, for a person to read. */
  readonly description: string;
  readonly pid: number;
  /** Resolves when the server's process has ended, for whatever reason; never rejects. */
  readonly exited: Promise<ServerExit>;
  /** Ends the server in good order and waits for its process; harmless when it has ended already. */
  stop(): Promise<void>;
}

export type LocalServerErrorCode =
  | 'local-server.not-found'
  | 'local-server.already-running'
  | 'local-server.port-busy'
  | 'local-server.data-dir-unusable'
  | 'local-server.start-failed';

/** A server that could not be found or started; the message says what a person can do about it. */
export class LocalServerError extends AppError<LocalServerErrorCode> {}
