// What is no answer to a check: bytes that are no RESP, and RESP that no check is answered with.

const KINDS = [
  (random) => random(48),
  () => Buffer.from('HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n'),
  () => Buffer.from('+OK\r\n'),
  () => Buffer.from(':1\r\n'),
  () => Buffer.from('$-1\r\n'),
  () => Buffer.from('*0\r\n'),
  () => Buffer.from('*2\r\n$1\r\n1\r\n:1\r\n'),
  // A length that no client should reserve memory for.
  () => Buffer.from('$536870912\r\nx'),
  () => Buffer.from('*2147483647\r\n'),
  // A recursive parser without a bound runs out of stack.
  () => Buffer.from('*1\r\n'.repeat(20_000)),
  () => Buffer.from('-NONSENSE this is no error of Redis\r\n'),
  // The moment of a batch that was admitted whole, a long time ago and a long time ahead.
  () => Buffer.from('$13\r\n1000000000000\r\n'),
  () => Buffer.from('$13\r\n9999999999999\r\n'),
];

let next = 0;

/** The next kind of garbage, or the one of a number. */
export function garbage(random, like) {
  return KINDS[(like ?? next++) % KINDS.length](random);
}

export const GARBAGE_KINDS = KINDS.length;
