// A TCP proxy in front of a server, whose faults can be switched while connections are open.

import { randomBytes } from 'node:crypto';
import { createServer, connect } from 'node:net';
import { setImmediate as nextTick } from 'node:timers/promises';
import { garbage } from './garbage.mjs';
import { wholeReplies } from './resp.mjs';
import { now, sleep } from './time.mjs';

/** `{name:id}`, see src/quota/key.rs. */
const KEY_OF_AN_ID = /\{\w+:[^}\s]/;

/**
 * The modes:
 *   pass        forwards
 *   latency     forwards `ms` later, in both directions
 *   slices      forwards a byte at a time
 *   black-hole  drops everything in both directions; a connection in this mode stays silent for good, as after a
 *               firewall timeout
 *   no-reply    accepts connections and never answers; open ones become silent, too
 *   refuse      resets connections as they are opened
 *   garbage     replaces replies by invalid ones
 *   truncate    cuts the next reply of each connection in the middle and closes it
 *   repeat      sends the next reply of each open connection twice: every later one answers the request before
 *   drop        omits the next reply of each open connection: every later one answers the request after
 */
export class Proxy {
  mode = { kind: 'pass' };
  /** The number of mode changes: some faults apply once to each connection and mode change. */
  setting = 0;
  /** Accepted connections, and bytes received from clients. */
  accepted = 0;
  received = 0;
  /** Chunks with the key of an id; a probe has none. */
  asked = 0;
  links = new Set();

  static async start(target, host = '127.0.0.1') {
    const proxy = new Proxy(target);
    await new Promise((resolve) => proxy.server.listen(0, host, resolve));
    Object.assign(proxy, { host, port: proxy.server.address().port });
    return proxy;
  }

  /** @param target `{ host, port }`; may be replaced, for later connections */
  constructor(target) {
    this.target = target;
    // A half-closed connection is one of the faults: the other half is not closed automatically.
    this.server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => this.#accept(client));
  }

  set(kind, more = {}) {
    this.mode = { kind, ...more };
    this.setting++;
    if (kind === 'black-hole' || kind === 'no-reply') for (const link of this.links) link.silent = true;
  }

  /** Resolves when all earlier bytes of clients are read: each iteration of the loop reads from every connection. */
  async drained() {
    for (let i = 0; i < 3; i++) await sleep(1);
  }

  /** Ends every connection with an RST. */
  reset() {
    for (const link of this.links) link.reset();
  }

  /** Ends the stream to the clients; their bytes are still read. */
  halfClose() {
    for (const link of this.links) link.halfClose();
  }

  close() {
    this.reset();
    this.server.close();
  }

  #accept(client) {
    this.accepted++;
    if (this.mode.kind === 'refuse') {
      client.on('error', () => {});
      client.resetAndDestroy();
      return;
    }
    const link = new Link(this, client);
    this.links.add(link);
    client.once('close', () => this.links.delete(link));
  }
}

class Link {
  silent = false;
  /** The mode change that was applied to this connection, for faults that apply once. */
  applied = -1;
  #replies = Buffer.alloc(0);

  constructor(proxy, client) {
    this.proxy = proxy;
    this.client = client;
    /** A connection opened after the mode change is in order. */
    this.spared = proxy.mode.kind === 'repeat' || proxy.mode.kind === 'drop' ? proxy.setting : -1;
    this.silent = proxy.mode.kind === 'black-hole' || proxy.mode.kind === 'no-reply';
    const up = direction((chunk) => this.upstream?.writable && this.upstream.write(chunk), this);
    client.on('error', () => {});
    client.on('data', (chunk) => {
      proxy.received += chunk.length;
      if (KEY_OF_AN_ID.test(chunk.toString('latin1'))) proxy.asked++;
      if (!this.silent) up(chunk);
    });
    if (this.silent) return;
    this.upstream = connect({ ...proxy.target, noDelay: true });
    const down = direction((chunk) => this.#answer(chunk), this);
    this.upstream.on('error', () => this.reset());
    this.upstream.on('data', (chunk) => !this.silent && down(chunk));
    // The end of the server's side is hidden from a silent connection.
    this.upstream.on('end', () => !this.silent && this.client.end());
    this.upstream.on('close', () => !this.silent && this.client.destroy());
    client.on('end', () => this.upstream.end());
    client.on('close', () => this.upstream.destroy());
  }

  reset() {
    // Node never finishes closing a socket that is reset while its end is being sent: the suite would not exit.
    if (this.client.writableEnded) this.client.destroy();
    else if (!this.client.destroyed) this.client.resetAndDestroy();
    this.upstream?.destroy();
  }

  halfClose() {
    this.client.end();
  }

  #answer(chunk) {
    if (!this.client.writable) return;
    const { kind } = this.proxy.mode;
    const once = this.applied !== this.proxy.setting && this.spared !== this.proxy.setting;
    if (kind === 'garbage') {
      this.client.write(garbage(randomBytes, this.proxy.mode.like));
    } else if (kind === 'truncate' && once) {
      this.applied = this.proxy.setting;
      this.client.write(chunk.subarray(0, Math.max(1, chunk.length >> 1)));
      this.client.end();
      this.upstream.destroy();
    } else if ((kind === 'repeat' || kind === 'drop') && once) {
      this.#outOfStep(kind, chunk);
    } else {
      const held = this.#replies;
      this.#replies = Buffer.alloc(0);
      this.client.write(held.length > 0 ? Buffer.concat([held, chunk]) : chunk);
    }
  }

  #outOfStep(kind, chunk) {
    this.#replies = Buffer.concat([this.#replies, chunk]);
    const [first] = wholeReplies(this.#replies);
    if (first === undefined) return;
    this.applied = this.proxy.setting;
    const rest = this.#replies;
    this.#replies = Buffer.alloc(0);
    this.client.write(kind === 'drop' ? rest.subarray(first.length) : Buffer.concat([first, rest]));
  }
}

/** Forwards chunks in order, delayed or in slices by the proxy's mode at their arrival. */
function direction(write, link) {
  let last = Promise.resolve();
  let waiting = 0;
  const after = (step) => {
    waiting++;
    const before = last;
    last = (async () => {
      await before;
      if (!link.silent) await step();
      waiting--;
    })();
  };
  return (chunk) => {
    const { kind, ms } = link.proxy.mode;
    const due = now() + (ms ?? 0);
    if (kind === 'latency') {
      after(async () => {
        if (due > now()) await sleep(due - now());
        write(chunk);
      });
    } else if (kind === 'slices') {
      after(async () => {
        for (const byte of chunk) {
          write(Buffer.of(byte));
          await nextTick();
        }
      });
    } else if (waiting > 0) after(() => write(chunk));
    else write(chunk);
  };
}
