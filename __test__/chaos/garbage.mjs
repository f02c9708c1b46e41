// Invalid replies to a check: bytes that are no RESP, and RESP values that no check returns.

const KINDS = [
  (random) => random(48),
  () => Buffer.from('HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n'),
  () => Buffer.from('+OK\r\n'),
  () => Buffer.from(':1\r\n'),
  () => Buffer.from('$-1\r\n'),
  () => Buffer.from('*0\r\n'),
  () => Buffer.from('*2\r\n$1\r\n1\r\n:1\r\n'),
  // A length for which no client should reserve memory.
  () => Buffer.from('$536870912\r\nx'),
  () => Buffer.from('*2147483647\r\n'),
  // A recursive parser without a bound overflows the stack.
  () => Buffer.from('*1\r\n'.repeat(20_000)),
  () => Buffer.from('-NONSENSE this is no error of Redis\r\n'),
  // The time of a batch that was wholly admitted, long ago and far ahead.
  () => Buffer.from('$13\r\n1000000000000\r\n'),
  () => Buffer.from('$13\r\n9999999999999\r\n'),
];

let next = 0;

/** The next kind of garbage, or the kind with the number `like`. */
export function garbage(random, like) {
  return KINDS[(like ?? next++) % KINDS.length](random);
}

export const GARBAGE_KINDS = KINDS.length;
