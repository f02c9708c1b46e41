import { createServer, type AddressInfo, type Socket } from 'node:net';
import { startRedis, type RedisServer } from '../redis';

export { until } from '../time';

export type Op = 'limit' | 'check' | 'status' | 'reset';

/** Where a failing Redis is, and who asks there: the `redis` option but for the password. */
export interface Endpoint {
  readonly host: string;
  readonly port: number;
  readonly username?: string;
  readonly tls?: { readonly ca?: string; readonly servername?: string };
}

/** A way to fail, brought about for real. */
export interface Failure {
  readonly name: string;
  /** The stable code it has under `onStoreError: 'throw'`. */
  readonly code: string;
  /** A layer below raised an error of its own, which is the cause of this one. */
  readonly caused?: true;
  /** The operations that meet it; all of them when left out. */
  readonly ops?: readonly Op[];
  /** The deadline of a check that is to run out. When left out, none does. */
  readonly timeoutMs?: number;
  /** The budget of a connect that has to run out by half before the failure is told. */
  readonly connectTimeoutMs?: number;
  /** Happens only to a client that has a password, or only to one that has none. */
  readonly password?: 'needed' | 'absent';
  /**
   * The code on a connection whose end the system delivers before the server's last reply, or whose connect runs out of time
   * on a busy machine.
   */
  readonly orElse?: string;
  /**
   * The code where a busy machine uses up half of the connect budget of a client that the environment configures. It is one
   * second and cannot be changed there; a client that takes options has a longer one.
   */
  readonly orElseFromEnvironment?: string;
  arrange(fixture: Fixture): Promise<Endpoint>;
}

/** What one failure needs around it, gone when the fixture ends. */
export class Fixture {
  /** The last one arranged is the first to go. */
  readonly #ends: (() => unknown)[] = [];

  /** @param password what the client gives, and what a server of this fixture asks for. */
  constructor(readonly password?: string) {}

  atEnd(end: () => unknown): void {
    this.#ends.unshift(end);
  }

  async end(): Promise<void> {
    for (const end of this.#ends.splice(0)) await end();
  }

  /** A real server that asks for the password, and whose `cli` gives it. */
  redis(...options: string[]): Promise<RedisServer> {
    return this.redisWith(this.password, ...options);
  }

  /** A real server with a password of its own, or none. */
  async redisWith(password: string | undefined, ...options: string[]): Promise<RedisServer> {
    const server = await startRedis(...(password === undefined ? [] : ['--requirepass', password]), ...options);
    const auth = password === undefined ? [] : ['-a', password, '--no-auth-warning'];
    // A test may have ended it already.
    let stopped: Promise<void> | undefined;
    const stop = () => (stopped ??= server.stop());
    this.atEnd(stop);
    return { ...server, stop, cli: (...args) => server.cli(...auth, ...args) };
  }

  /** A server of the test's own; `heard` gets each chunk, and nothing for the connection itself. */
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

/** What one Redis answers before any script is run: it is no cluster. */
export function toGreeting(chunk: string): string {
  return /CLUSTER/.test(chunk) ? '-ERR This instance has cluster support disabled\r\n' : '+OK\r\n';
}
