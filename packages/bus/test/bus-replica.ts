import { connect, createServer, type Socket } from 'node:net';
import { type Bus, connectBus } from '../src/index.ts';
import { RIG_LANES } from './bus-rig.ts';

export interface BusReplica extends AsyncDisposable {
  readonly bus: Bus;
  /** Takes its connection away for good, as pulling the plug does. */
  cut(): Promise<void>;
}

/** Another service on the same server, which can lose its connection. */
export async function startReplica(url: string): Promise<BusReplica> {
  const sockets = new Set<Socket>();
  let isCut = false;
  const proxy = createServer((socket) => {
    const upstream = connect(Number(new URL(url).port), '127.0.0.1');
    for (const end of [socket, upstream]) {
      sockets.add(end);
      end.on('error', () => {});
      end.on('close', () => sockets.delete(end));
    }
    if (isCut) socket.destroy();
    socket.pipe(upstream).pipe(socket);
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  const address = proxy.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const bus = await connectBus({
    servers: `127.0.0.1:${port}`,
    name: 'replica',
    lanes: RIG_LANES,
  });
  const cut = async (): Promise<void> => {
    isCut = true;
    for (const socket of sockets) socket.destroy();
    await new Promise<void>((resolve) => {
      proxy.close(() => resolve());
    });
  };
  return {
    bus,
    cut,
    [Symbol.asyncDispose]: async () => {
      await bus[Symbol.asyncDispose]();
      await cut();
    },
  };
}
