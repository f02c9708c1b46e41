// A name server of the tests' own, and what makes a process ask it: the process runs in a mount namespace, where another
// /etc/resolv.conf is. The machine's own stays as it is.

import { createSocket } from 'node:dgram';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const [A, NXDOMAIN] = [1, 3];

export class DnsServer {
  /** Questions that came, with and without an answer. */
  asked = 0;
  /** `{ address, delayMs }`; without an address the name does not exist. */
  answer = {};
  #socket = createSocket('udp4');
  #directory = mkdtempSync(join(tmpdir(), 'rate-limit-names-'));

  /** Port 53 is what resolv.conf takes: on an address of loopback that nobody else has. */
  static async start() {
    const names = new DnsServer();
    names.address = `127.53.${(process.pid >> 8) & 255}.${process.pid & 255 || 1}`;
    await new Promise((resolve, reject) => {
      names.#socket.once('error', reject);
      names.#socket.bind(53, names.address, resolve);
    });
    names.#socket.on('message', (question, from) => names.#asked(question, from));
    writeFileSync(join(names.#directory, 'resolv.conf'), `nameserver ${names.address}\n`);
    writeFileSync(join(names.#directory, 'hosts'), '127.0.0.1 localhost\n');
    return names;
  }

  /** What a program is started by, so that it asks this server. */
  get inside() {
    const mount = (name) => `mount --bind ${join(this.#directory, name)} "$(readlink -f /etc/${name})"`;
    const script = `${mount('hosts')} && ${mount('resolv.conf')} && exec "$@"`;
    return ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', script, 'sh'];
  }

  close() {
    this.#socket.close();
    rmSync(this.#directory, { recursive: true, force: true });
  }

  #asked(question, from) {
    this.asked++;
    const { address, delayMs = 0 } = this.answer;
    const reply = answerTo(question, address);
    const send = () => {
      try {
        this.#socket.send(reply, from.port, from.address);
      } catch {
        // The run is over, and with it the socket.
      }
    };
    if (delayMs > 0) setTimeout(send, delayMs).unref();
    else send();
  }
}

/** A DNS message (RFC 1035): the question back, and an address of it where the question is for one. */
function answerTo(question, address) {
  let end = 12;
  while (question[end] !== 0) end += question[end] + 1;
  const type = question.readUInt16BE(end + 1);
  const asked = question.subarray(12, end + 5);
  const answers = address !== undefined && type === A ? 1 : 0;
  const header = Buffer.alloc(12);
  question.copy(header, 0, 0, 2);
  // A reply, recursion desired and available.
  header.writeUInt16BE(0x8180 | (address === undefined ? NXDOMAIN : 0), 2);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(answers, 6);
  if (answers === 0) return Buffer.concat([header, asked]);
  // The name by a pointer to the question, type A, class IN, not to be kept, four bytes.
  const record = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, ...address.split('.').map(Number)]);
  return Buffer.concat([header, asked, record]);
}
