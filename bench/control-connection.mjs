// The benchmark's own connection to Redis, which flushes it and reads its counters. A client library here would be one
// of the contenders, loaded next to another one.

import { once } from 'node:events';
import { connect } from 'node:net';

export class ControlConnection {
  #socket;
  #received = Buffer.alloc(0);
  #waiting = [];

  static async connect(port, host = '127.0.0.1') {
    const socket = connect({ port, host, noDelay: true });
    await once(socket, 'connect');
    return new ControlConnection(socket);
  }

  constructor(socket) {
    this.#socket = socket;
    socket.on('data', (chunk) => this.#read(chunk));
    const fail = (error) => this.#waiting.splice(0).forEach(({ reject }) => reject(error));
    socket.on('error', fail);
    socket.on('close', () => fail(new Error('Redis closed the connection')));
  }

  send(...command) {
    const parts = command.map((part) => `$${Buffer.byteLength(`${part}`)}\r\n${part}\r\n`);
    this.#socket.write(`*${command.length}\r\n${parts.join('')}`);
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  /** A section of INFO as an object of strings. */
  async info(section) {
    const lines = (await this.send('INFO', section)).split('\r\n').filter((line) => line.includes(':'));
    return Object.fromEntries(
      lines.map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1)]),
    );
  }

  /** CPU seconds of the server. */
  async cpuSeconds() {
    const { used_cpu_user, used_cpu_sys } = await this.info('cpu');
    return Number(used_cpu_user) + Number(used_cpu_sys);
  }

  /** The server's statistics of EVALSHA: `{ calls, micros }`. */
  async scripts() {
    const { cmdstat_evalsha: stat = 'calls=0,usec=0' } = await this.info('commandstats');
    const { calls, usec } = Object.fromEntries(stat.split(',').map((part) => part.split('=')));
    return { calls: Number(calls), micros: Number(usec) };
  }

  /** Unix ms by the server's clock, with its microseconds as the fraction. */
  async time() {
    const [seconds, microseconds] = await this.send('TIME');
    return Number(seconds) * 1000 + Number(microseconds) / 1000;
  }

  /** Whether the connection has ended. */
  get closed() {
    return this.#socket.destroyed;
  }

  close() {
    this.#socket.destroy();
  }

  #read(chunk) {
    this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk]);
    for (;;) {
      const reply = parse(this.#received, 0);
      if (reply === undefined) return;
      this.#received = this.#received.subarray(reply.end);
      const { resolve, reject } = this.#waiting.shift();
      if (reply.value instanceof Error) reject(reply.value);
      else resolve(reply.value);
    }
  }
}

/** The reply that begins at `at` and its end; undefined if it is incomplete. */
function parse(bytes, at) {
  const lineEnd = bytes.indexOf('\r\n', at);
  if (lineEnd < 0) return undefined;
  const line = bytes.toString('utf8', at + 1, lineEnd);
  const after = lineEnd + 2;
  switch (bytes[at]) {
    case 0x2b: // +
      return { value: line, end: after };
    case 0x2d: // -
      return { value: new Error(line), end: after };
    case 0x3a: // :
      return { value: Number(line), end: after };
    case 0x24: {
      // $
      const length = Number(line);
      if (length < 0) return { value: null, end: after };
      if (bytes.length < after + length + 2) return undefined;
      return { value: bytes.toString('utf8', after, after + length), end: after + length + 2 };
    }
    case 0x2a: {
      // *
      const values = [];
      let end = after;
      for (let i = 0; i < Number(line); i++) {
        const item = parse(bytes, end);
        if (item === undefined) return undefined;
        values.push(item.value);
        end = item.end;
      }
      return { value: values, end };
    }
    default:
      throw new Error(`not a reply of Redis: ${line}`);
  }
}
