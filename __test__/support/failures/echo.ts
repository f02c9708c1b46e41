import type { Socket } from 'node:net';
import { toGreeting, type Failure, type Fixture } from './fixture';

/** A server that answers each chunk with `answer(all bytes of this connection, the chunk)`. */
function answering(fixture: Fixture, answer: (all: string, chunk: string) => string) {
  const sent = new WeakMap<Socket, string>();
  return fixture.listen((socket, bytes) => {
    if (bytes === undefined) return;
    const chunk = bytes.toString('latin1');
    const all = (sent.get(socket) ?? '') + chunk;
    sent.set(socket, all);
    socket.write(answer(all, chunk), 'latin1');
  });
}

const isScript = (chunk: string) => /EVAL/.test(chunk);
const oneLine = (text: string) => text.replace(/[\r\n]+/g, ' ');

/** Answers the handshake with OK, and the script with `answer(all bytes)`. */
function afterwards(name: string, code: string, answer: (all: string) => string): Failure {
  return {
    name,
    code,
    arrange: (fixture) => answering(fixture, (all, chunk) => (isScript(chunk) ? answer(all) : toGreeting(chunk))),
  };
}

/** Servers that echo their input, the password with it. */
export const echoingServers: Failure[] = [
  {
    name: 'a server that quotes the arguments of an unknown AUTH',
    code: 'PROTOCOL',
    arrange: (fixture) =>
      answering(fixture, () => `-ERR unknown command 'AUTH', with args beginning with: '${bytesOf(fixture)}' \r\n`),
  },
  {
    name: 'a server that refuses the password and quotes it',
    code: 'WRONGPASS',
    arrange: (fixture) => answering(fixture, () => `-WRONGPASS invalid password '${bytesOf(fixture)}'\r\n`),
  },
  {
    name: 'a server with the password as error code',
    code: 'PROTOCOL',
    arrange: (fixture) => answering(fixture, () => `-${bytesOf(fixture)}\r\n`),
  },
  {
    name: 'a server that echoes everything',
    code: 'PROTOCOL',
    arrange: (fixture) => answering(fixture, (_, chunk) => chunk),
  },
  {
    name: 'a server that echoes everything as one line of garbage',
    code: 'PROTOCOL',
    arrange: (fixture) => answering(fixture, (_, chunk) => `?${oneLine(chunk)}\r\n`),
  },
  afterwards('a server that greets, and then quotes all it was sent in an error', 'PROTOCOL', (all) => {
    return `-ERR ${oneLine(all)}\r\n`;
  }),
  afterwards('a server that greets, and then quotes all it was sent in an error that has a code', 'OOM', (all) => {
    return `-OOM command not allowed: ${oneLine(all)}\r\n`;
  }),
  afterwards('a server that greets, and then quotes all it was sent in a status', 'PROTOCOL', (all) => {
    return `+${oneLine(all)}\r\n`;
  }),
  afterwards('a server that greets, and then fails a key with all it was sent', 'PROTOCOL', (all) => {
    const words = `ERR ${oneLine(all)}`;
    const fields = [':1', ':-1', `$${words.length}\r\n${words}`, ':0', ':0', ':0'];
    return `*8\r\n$13\r\n1700000000000\r\n:0\r\n${fields.join('\r\n')}\r\n`;
  }),
  afterwards('a server that greets, and then gives all it was sent back as garbage', 'PROTOCOL', (all) => {
    return `:${oneLine(all)}\r\n`;
  }),
];

/** The password in the form in which the connection sends it. */
function bytesOf({ password = '' }: Fixture): string {
  return Buffer.from(password).toString('latin1');
}
