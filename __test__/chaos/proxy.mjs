// A TCP proxy in front of a server, whose faults are switched while connections live.

import { randomBytes } from 'node:crypto';
import { createServer, connect } from 'node:net';
import { setImmediate as nextTick } from 'node:timers/promises';
import { garbage } from './garbage.mjs';
import { wholeReplies } from './resp.mjs';
import { now, sleep } from './time.mjs';

/** `{name:id}`, see src/quota/key.rs. */
const KEY_OF_AN_ID = /\{\w+:[^}\s]/;

/**
 * What the proxy does with what it is sent:
 *   pass        hands it on
 *   latency     hands it on `ms` later, either way
 *   slices      hands it on a byte at a time
 *   hole        swallows it both ways; a connection that met this stays silent for good, as one that a firewall forgot
 *   deaf        accepts connections and never answers; those that live are silent too
 *   refuse      resets connections as they come
 *   garbage     answers with something else than Redis does
 *   truncate    cuts the next reply of each connection in the middle and closes it
 *   repeat      sends the next reply of each connection that lives twice: all later ones answer the request before
 *   drop        leaves the next reply of each connection that lives out: all later ones answer the request after
 */
export class Proxy {
  mode = { kind: 'pass' };
  /** How often the mode was set: what is done once a connection is done once a setting. */
  setting = 0;
  /** Connections accepted, and bytes that came from clients. */
  accepted = 0;
  received = 0;
  /** Chunks that name the key of an id; a probe names none. */
  asked = 0;
  links = new Set();

  static async start(target, host = '127.0.0.1') {
    const proxy = new Proxy(target);
    await new Promise((resolve) => proxy.server.listen(0, host, resolve));
    Object.assign(proxy, { host, port: proxy.server.address().port });
    return proxy;
  }

  /** @param target `{ host, port }`; may be replaced, for the connections to come */
  constructor(target) {
    this.target = target;
    // A half closed connection is one of the faults: nothing closes the other half by itself.
    this.server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => this.#accept(client));
  }

  set(kind, more = {}) {
    this.mode = { kind, ...more };
    this.setting++;
    if (kind === 'black-hole' || kind === 'no-reply') for (const link of this.links) link.silent = true;
  }

  /** What clients had sent before is read: the loop reads of every connection in a turn. */
  async drained() {
    for (let i = 0; i < 3; i++) await sleep(1);
  }

  /** Every connection ends with an RST. */
  reset() {
    for (const link of this.links) link.reset();
  }

  /** Clients see the end of the stream; what they send is still read. */
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
  /** The setting of the proxy that was applied to this connection, for what is done once. */
  applied = -1;
  #replies = Buffer.alloc(0);

  constructor(proxy, client) {
    this.proxy = proxy;
    this.client = client;
    /** Who came when it was set already is in order. */
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
    // What a dead connection's server does is not seen any more.
    this.upstream.on('end', () => !this.silent && this.client.end());
    this.upstream.on('close', () => !this.silent && this.client.destroy());
    client.on('end', () => this.upstream.end());
    client.on('close', () => this.upstream.destroy());
  }

  reset() {
    // Node never finishes to close a socket that is reset while its end is being sent: the suite would not exit.
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

/** Hands chunks on in their order, late or in slices as the proxy's mode is when they come. */
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
