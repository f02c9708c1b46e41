import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import type { App } from '../support/app';

/**
 * A TCP proxy to the app whose connections can be cut: the browser's own offline emulation leaves open streams alone.
 */
export interface TcpProxy {
  readonly url: string;
  /** Breaks every connection and each new one, until `restore`. */
  cut(): void;
  restore(): void;
  stop(): Promise<void>;
}

export async function startTcpProxy(app: App): Promise<TcpProxy> {
  const { port, hostname } = new URL(app.url);
  const sockets = new Set<Socket>();
  let broken = false;
  const server = createServer((client) => {
    if (broken) return client.destroy();
    const upstream = connect(Number(port), hostname);
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(from);
      from.on('data', (chunk) => to.write(chunk));
      from.on('error', () => to.destroy());
      from.on('close', () => {
        sockets.delete(from);
        to.destroy();
      });
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const breakAll = () => sockets.forEach((socket) => socket.destroy());
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    cut() {
      broken = true;
      breakAll();
    },
    restore: () => void (broken = false),
    async stop() {
      const closed = new Promise((resolve) => server.close(resolve));
      breakAll();
      await closed;
    },
  };
}
