import { readFileSync } from 'node:fs';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { dirname, join } from 'node:path';
import { createServer } from 'node:tls';
import { caFile } from '../servers/index.cjs';
import { startRedis } from '../support/redis';
import { refusal, type Key } from './signature';

/** The user's password on the backend: only the proxy knows it. */
export const BACKEND_PASSWORD = 'known-to-the-proxy-alone';

const read = (name: string) => readFileSync(join(dirname(caFile), name), 'utf8');
const CERTIFICATE = { cert: read('server.pem'), key: read('server.key') };

export interface ProxyOptions {
  readonly cache: string;
  readonly username: string;
  readonly region: string;
  readonly serverless?: boolean;
  /** A connection ends so long after its last AUTH. Default: 12 hours. */
  readonly lifeMs?: number;
}

/** The real server. */
interface Backend {
  readonly port: number;
  stop(): Promise<unknown>;
}

/**
 * ElastiCache with IAM, as far as a client can see: a TLS proxy on 127.0.0.1 in front of a real Redis. It accepts users
 * whose token has a valid signature, and ends connections that do not authenticate again in time. The error of a
 * refused client is the real server's.
 */
export class IamProxy {
  /** The CA of its certificate, in PEM form. */
  readonly ca = read('ca.pem');
  /** The keys that are valid now. */
  readonly keys = new Map<string, Key>();
  /** The result of each AUTH: `undefined` if accepted, otherwise the reason. */
  readonly logins: (string | undefined)[] = [];
  /** Each accepted token, once. */
  readonly tokens = new Set<string>();
  /** The number of accepted logins of each connection. */
  readonly accepted: number[] = [];
  connections = 0;
  /** The connections that have reached their maximum age. */
  expired = 0;
  /** The offset of its clock from this machine's, in ms; positive is ahead. */
  aheadMs = 0;

  readonly #options: ProxyOptions;
  readonly #redis: Backend;
  readonly #sockets = new Set<Socket>();
  readonly #expiries = new Set<() => void>();
  readonly #server = createServer(CERTIFICATE, (socket) => this.#serve(socket));

  private constructor(options: ProxyOptions, redis: Backend) {
    this.#options = options;
    this.#redis = redis;
  }

  static async start(options: ProxyOptions): Promise<IamProxy> {
    const redis = await startRedis('--requirepass', BACKEND_PASSWORD);
    const admin = ['-a', BACKEND_PASSWORD, '--no-auth-warning'];
    const added = redis.cli(...admin, 'acl', 'setuser', options.username, 'on', '~*', '+@all', `>${BACKEND_PASSWORD}`);
    if (added !== 'OK') throw new Error(added);
    return IamProxy.before(redis, options);
  }

  /** In front of a server that already has the user; stop() stops it, too. */
  static async before(redis: Backend, options: ProxyOptions): Promise<IamProxy> {
    const proxy = new IamProxy(options, redis);
    await new Promise<void>((resolve) => proxy.#server.listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Ends all connections, as if they had reached their maximum age. */
  expire(): void {
    for (const expire of this.#expiries) expire();
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
    await this.#redis.stop();
  }

  /** The reason for which it would refuse this token now; undefined if it would accept it. */
  refuses(token: string): string | undefined {
    const { serverless = false, ...rest } = this.#options;
    return refusal(token, { ...rest, serverless, keys: this.keys, now: Date.now() + this.aheadMs });
  }

  #serve(client: Socket): void {
    const number = this.connections++;
    this.accepted[number] = 0;
    const server = connect(this.#redis.port, '127.0.0.1');
    const end = () => {
      clearTimeout(timer);
      this.#expiries.delete(expire);
      for (const socket of [client, server]) {
        this.#sockets.delete(socket);
        socket.destroy();
      }
    };
    const life = this.#options.lifeMs ?? 43_200_000;
    const expire = () => {
      this.expired++;
      end();
    };
    let timer: NodeJS.Timeout | undefined;
    this.#expiries.add(expire);
    for (const socket of [client, server]) {
      this.#sockets.add(socket);
      socket.setNoDelay().on('error', end).on('close', end);
    }
    server.pipe(client);
    const commands = new Commands();
    client.on('data', (chunk) => {
      for (const words of commands.read(chunk)) {
        if (words[0]!.toString().toUpperCase() === 'AUTH') {
          const right = this.#accepts(words.slice(1).map(String));
          if (right) {
            this.accepted[number]!++;
            clearTimeout(timer);
            timer = setTimeout(expire, life);
          }
          // The real server sends the reply, in order.
          server.write(
            resp(
              ['AUTH', this.#options.username, right ? BACKEND_PASSWORD : 'refused'].map((word) => Buffer.from(word)),
            ),
          );
        } else {
          server.write(resp(words));
        }
      }
    });
  }

  #accepts(words: string[]): boolean {
    const [username, token] = words as [string, string];
    const reason = username === this.#options.username ? this.refuses(token) : 'username';
    this.logins.push(reason);
    if (reason === undefined) this.tokens.add(token);
    return reason === undefined;
  }
}

/** The commands in a stream: arrays of bulk strings. */
class Commands {
  #rest: Buffer = Buffer.alloc(0);

  *read(chunk: Buffer): Generator<Buffer[]> {
    this.#rest = Buffer.concat([this.#rest, chunk]);
    for (let one = this.#next(); one !== undefined; one = this.#next()) yield one;
  }

  #next(): Buffer[] | undefined {
    let at = 0;
    const number = (): number | undefined => {
      const end = this.#rest.indexOf('\r\n', at);
      if (end < 0) return undefined;
      const value = Number(this.#rest.toString('latin1', at + 1, end));
      at = end + 2;
      return value;
    };
    const words: Buffer[] = [];
    const count = number();
    if (count === undefined) return undefined;
    while (words.length < count) {
      const length = number();
      if (length === undefined || this.#rest.length < at + length + 2) return undefined;
      words.push(this.#rest.subarray(at, at + length));
      at += length + 2;
    }
    this.#rest = this.#rest.subarray(at);
    return words;
  }
}

function resp(words: Buffer[]): Buffer {
  const parts = words.flatMap((word) => [Buffer.from(`$${word.length}\r\n`), word, Buffer.from('\r\n')]);
  return Buffer.concat([Buffer.from(`*${words.length}\r\n`), ...parts]);
}
