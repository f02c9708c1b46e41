// A DNS server for the tests, and the command that makes a process use it: the process runs in a mount namespace with
// another /etc/resolv.conf. The machine's own file is unchanged.

import { createSocket } from 'node:dgram';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const [A, NXDOMAIN] = [1, 3];

export class DnsServer {
  /** The queries received, answered or not. */
  asked = 0;
  /** `{ address, delayMs }`; without an address the name does not exist. */
  answer = {};
  #socket = createSocket('udp4');
  #directory = mkdtempSync(join(tmpdir(), 'rate-limit-names-'));

  /** Port 53, since resolv.conf has no port: on a loopback address of its own. */
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

  /** The command prefix that makes a program use this server. */
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
        // The run is over, and the socket closed.
      }
    };
    if (delayMs > 0) setTimeout(send, delayMs).unref();
    else send();
  }
}

/** A DNS message (RFC 1035): the question, and an address if the question is for one. */
function answerTo(question, address) {
  let end = 12;
  while (question[end] !== 0) end += question[end] + 1;
  const type = question.readUInt16BE(end + 1);
  const asked = question.subarray(12, end + 5);
  const answers = address !== undefined && type === A ? 1 : 0;
  const header = Buffer.alloc(12);
  question.copy(header, 0, 0, 2);
  // A response, recursion desired and available.
  header.writeUInt16BE(0x8180 | (address === undefined ? NXDOMAIN : 0), 2);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(answers, 6);
  if (answers === 0) return Buffer.concat([header, asked]);
  // The name as a pointer to the question, type A, class IN, TTL 0, four bytes.
  const record = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, ...address.split('.').map(Number)]);
  return Buffer.concat([header, asked, record]);
}
