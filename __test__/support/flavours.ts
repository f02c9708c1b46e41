import { execFileSync } from 'node:child_process';
import { Cluster, SHARDS, Single, caFile, type ServerOptions, type Servers } from '../servers/index.cjs';
import type { RedisServer } from './redis';

// The suite is written for one plain Redis and runs on others unchanged: TEST_REDIS says what `startRedis` starts. See
// scripts/flavours.mjs.

const USER = 'limiter';
const PASSWORD = 'pw-of-the-limiter';

/** Long, so that a busy machine makes nobody take over; what a failover does is the matter of chaos and of the Rust tests. */
const STEADY = { nodeTimeoutMs: 20_000 };

const flavours: Record<string, { tls: boolean; start: (options: ServerOptions) => Promise<Servers> }> = {
  'tls-users': { tls: true, start: (options) => Single.start(options) },
  cluster: { tls: false, start: (options) => Cluster.start({ ...options, ...STEADY }) },
  'cluster-tls-users': {
    tls: true,
    start: (options) => Cluster.start({ ...options, ...STEADY, hostNames: 'localhost' }),
  },
};

/** The start of the flavour that is asked for; undefined: the plain one. */
export function flavoured(): ((options: string[]) => Promise<RedisServer>) | undefined {
  const name = process.env.TEST_REDIS || undefined;
  if (name === undefined) return undefined;
  const flavour = flavours[name];
  if (!flavour) throw new Error(`TEST_REDIS=${name}: it takes ${Object.keys(flavours).join(', ')}`);
  return async (options) => {
    // `url` alone is to be enough, as it is where a platform sets both.
    if (flavour.tls) process.env.NODE_EXTRA_CA_CERTS = caFile;
    const { password, others } = split(options);
    const asked = flavour.tls ? (password ?? PASSWORD) : password;
    const username = flavour.tls ? USER : undefined;
    const servers = await flavour.start({ tls: flavour.tls, username, password: asked, options: others });
    return server(servers, flavour.tls, { username, password: password === undefined ? asked : undefined });
  };
}

/** A spec that asks for a password gives it, too; else it knows nothing of one. */
function split(options: string[]) {
  const at = options.indexOf('--requirepass');
  return at < 0
    ? { others: options }
    : { password: options[at + 1]!, others: [...options.slice(0, at), ...options.slice(at + 2)] };
}

function server(servers: Servers, tls: boolean, { username, password }: { username?: string; password?: string }) {
  const port = servers.seed;
  const primaries = servers.nodes.slice(0, SHARDS);
  const login = Object.entries({ '--user': servers.admin.username, '--pass': servers.admin.password });
  const args = login.flatMap(([name, value]) => (value === undefined ? [] : [name, value]));
  const ask = (socket: string, ...command: string[]) =>
    execFileSync('redis-cli', ['-s', socket, '--no-auth-warning', ...args, ...command], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    }).trim();
  const all = (...command: string[]) => primaries.map(({ socket }) => ask(socket, ...command));
  const cli = (...command: string[]) => {
    if (KEYLESS.has(command[0]!))
      return all(...command)
        .join('\n')
        .trim();
    const said = ask(primaries[0]!.socket, ...command);
    const moved = /^MOVED \d+ \S*:(\d+)/.exec(said);
    return moved ? ask(servers.nodes.find((node) => node.port === Number(moved[1]))!.socket, ...command) : said;
  };
  const host = tls ? 'localhost' : '127.0.0.1';
  const user = [username, password].filter((part) => part !== undefined).join(':');
  return {
    port,
    url: `${tls ? 'rediss' : 'redis'}://${user}${user && '@'}${host}:${port}`,
    options: { host, port, username, password, tls },
    variables: {
      REDIS_HOST: host,
      REDIS_PORT: `${port}`,
      ...(username !== undefined && { REDIS_USERNAME: username }),
      ...(password !== undefined && { REDIS_PASSWORD: password }),
      ...(tls && { REDIS_TLS: 'true' }),
    },
    cli,
    connections: () => Math.max(...all('client', 'list', 'type', 'normal').map(ofOthers)),
    ttls() {
      const keys = cli('--scan').split('\n').filter(Boolean);
      return Object.fromEntries(keys.map((key) => [key, Number(cli('pttl', key))]));
    },
    stop: () => servers.stop(),
  };
}

/** Those that are no matter of a key go to every primary. */
const KEYLESS = new Set(['--scan', 'client', 'config', 'flushall', 'info', 'script']);

/** The tests ask by a socket, which is a flag of its own. */
function ofOthers(list: string): number {
  return list.split('\n').filter((line) => line && !/ flags=\w*U/.test(line)).length;
}
