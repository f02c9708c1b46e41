import { createServer, type AddressInfo, type Socket } from 'node:net';
import { startRedis, type RedisServer } from '../redis';

export { until } from '../time';

export type Op = 'limit' | 'check' | 'status' | 'reset';

/** The endpoint of a failing Redis: the `redis` option without the password. */
export interface Endpoint {
  readonly host: string;
  readonly port: number;
  readonly username?: string;
  readonly tls?: { readonly ca?: string; readonly servername?: string };
}

/** A failure, provoked on a real server. */
export interface Failure {
  readonly name: string;
  /** The stable code it has under `onStoreError: 'throw'`. */
  readonly code: string;
  /** A lower layer raised its own error, which is the cause of this one. */
  readonly caused?: true;
  /** The operations that fail; all of them by default. */
  readonly ops?: readonly Op[];
  /** The deadline of a check that must run out. By default none does. */
  readonly timeoutMs?: number;
  /** The connect budget of which half has to run out before the error is reported. */
  readonly connectTimeoutMs?: number;
  /** Happens only to a client with a password, or only to one without. */
  readonly password?: 'needed' | 'absent';
  /**
   * The alternative code if the system delivers the end of the connection before the server's last reply, or if the
   * connect times out on a busy machine.
   */
  readonly orElse?: string;
  /**
   * The alternative code if a busy machine uses up half of the connect budget of a client that the environment
   * configures. That budget is one second and cannot be changed; a client with options has a longer one.
   */
  readonly orElseFromEnvironment?: string;
  arrange(fixture: Fixture): Promise<Endpoint>;
}

/** The servers and resources of one failure, closed by end(). */
export class Fixture {
  /** In reverse order of creation. */
  readonly #ends: (() => unknown)[] = [];

  /** @param password the password of the client and of this fixture's servers. */
  constructor(readonly password?: string) {}

  atEnd(end: () => unknown): void {
    this.#ends.unshift(end);
  }

  async end(): Promise<void> {
    for (const end of this.#ends.splice(0)) await end();
  }

  /** A real server with the fixture's password, whose `cli` sends it. */
  redis(...options: string[]): Promise<RedisServer> {
    return this.redisWith(this.password, ...options);
  }

  /** A real server with another password, or none. */
  async redisWith(password: string | undefined, ...options: string[]): Promise<RedisServer> {
    const server = await startRedis(...(password === undefined ? [] : ['--requirepass', password]), ...options);
    const auth = password === undefined ? [] : ['-a', password, '--no-auth-warning'];
    // A test may have stopped it already.
    let stopped: Promise<void> | undefined;
    const stop = () => (stopped ??= server.stop());
    this.atEnd(stop);
    return { ...server, stop, cli: (...args) => server.cli(...auth, ...args) };
  }

  /** A TCP server of the test; `heard` gets each chunk, and undefined for a new connection. */
  async listen(heard: (socket: Socket, chunk?: Buffer) => void): Promise<Endpoint> {
    const sockets = new Set<Socket>();
    const server = createServer((socket) => {
      sockets.add(socket);
      socket.on('close', () => sockets.delete(socket));
      socket.on('error', () => {});
      socket.on('data', (chunk) => heard(socket, chunk));
      heard(socket);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    this.atEnd(() => {
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => server.close(resolve));
    });
    return at((server.address() as AddressInfo).port);
  }
}

export function at(port: number): Endpoint {
  return { host: '127.0.0.1', port };
}

/** The reply of a single Redis before any script is run: it is no cluster. */
export function toGreeting(chunk: string): string {
  return /CLUSTER/.test(chunk) ? '-ERR This instance has cluster support disabled\r\n' : '+OK\r\n';
}
