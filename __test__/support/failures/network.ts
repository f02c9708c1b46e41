import { freePort } from '../redis';
import { at, toGreeting, type Failure } from './fixture';

/** Failures of the network, or of a server that is not Redis. */
export const network: Failure[] = [
  {
    name: 'a server that accepts and never answers',
    code: 'ETIMEDOUT',
    timeoutMs: 100,
    arrange: (fixture) => fixture.listen(() => {}),
  },
  {
    name: 'a server that is paused',
    code: 'ETIMEDOUT',
    timeoutMs: 100,
    async arrange(fixture) {
      const server = await fixture.redis();
      const pid = Number(/process_id:(\d+)/.exec(server.cli('info', 'server'))?.[1]);
      process.kill(pid, 'SIGSTOP');
      // A stopped process does not react to the signal that ends it.
      fixture.atEnd(() => process.kill(pid, 'SIGCONT'));
      return at(server.port);
    },
  },
  {
    name: 'a closed port',
    code: 'ECONNREFUSED',
    caused: true,
    arrange: async () => at(await freePort()),
  },
  {
    name: 'a name that does not resolve',
    code: 'ENOTFOUND',
    caused: true,
    // Reserved for that (RFC 6761, 6.4). A name with two dots in a row, which no resolver is asked for, is refused as
    // an option.
    arrange: async () => ({ host: 'no-such-host.invalid', port: 6379 }),
  },
  {
    name: 'a server that closes without a reply',
    code: 'ECONNRESET',
    arrange: (fixture) => fixture.listen((socket) => void socket.end()),
  },
  {
    name: 'a server that resets the connection with a request in flight',
    code: 'ECONNRESET',
    arrange: (fixture) =>
      fixture.listen((socket, chunk) => {
        if (chunk === undefined) return;
        if (/EVAL/.test(chunk.toString('latin1'))) socket.resetAndDestroy();
        else socket.write(toGreeting(chunk.toString('latin1')));
      }),
  },
  {
    name: 'a web server',
    code: 'PROTOCOL',
    arrange: (fixture) =>
      fixture.listen((socket, chunk) => {
        if (chunk !== undefined) socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n');
      }),
  },
  {
    name: 'a server that answers the handshake and then sends garbage',
    code: 'PROTOCOL',
    arrange: (fixture) =>
      fixture.listen((socket, chunk) => {
        if (chunk === undefined) return;
        const said = chunk.toString('latin1');
        socket.write(/EVAL/.test(said) ? '\0\x01 nonsense\r\n' : toGreeting(said));
      }),
  },
  {
    name: 'a server whose reply is not that of the script',
    code: 'PROTOCOL',
    arrange: (fixture) => fixture.listen((socket, chunk) => void (chunk && socket.write('+OK\r\n'))),
  },
];
