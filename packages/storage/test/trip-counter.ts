import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';

/** Between clients and a Postgres server; counts how often a client sends something, all of it that lies there at once. */
export class TripCounter implements AsyncDisposable {
  /** To connect to instead. */
  readonly url: string;
  readonly #server: Server;
  readonly #sockets: Set<Socket>;
  readonly #trips: { count: number };

  private constructor(url: string, server: Server, sockets: Set<Socket>, trips: { count: number }) {
    this.url = url;
    this.#server = server;
    this.#sockets = sockets;
    this.#trips = trips;
  }

  static async open(url: string): Promise<TripCounter> {
    const { hostname, port } = new URL(url);
    const trips = { count: 0 };
    const sockets = new Set<Socket>();
    const server = createServer((client) => {
      const upstream = connect(Number(port), hostname);
      for (const [one, other] of [
        [client, upstream],
        [upstream, client],
      ] as const) {
        sockets.add(one);
        one.on('error', () => other.destroy());
        one.on('close', () => {
          sockets.delete(one);
          other.destroy();
        });
      }
      upstream.pipe(client);
      forwardTogether(client, upstream, () => {
        trips.count += 1;
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    const through = new URL(url);
    through.port = String(typeof address === 'object' ? address?.port : '');
    return new TripCounter(through.href, server, sockets, trips);
  }

  /** Trips that `work` takes. */
  async count(work: () => Promise<unknown>): Promise<number> {
    const before = this.#trips.count;
    await work();
    return this.#trips.count - before;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }
}

/** What a client writes at once may come in pieces; the server answers none of them before all are there. */
function forwardTogether(client: Socket, upstream: Socket, onTrip: () => void): void {
  let waiting: Buffer[] = [];
  client.on('data', (bytes: Buffer) => {
    if (waiting.length === 0) {
      setTimeout(() => {
        onTrip();
        upstream.write(Buffer.concat(waiting));
        waiting = [];
      }, GATHER_MS);
    }
    waiting.push(bytes);
  });
}

const GATHER_MS = 5;
