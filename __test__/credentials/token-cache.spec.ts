const { TokenCache } = require('../../lib/credentials/token-cache.js');

// The lifetime of a shared token, by clocks that the test sets.

const MINUTE = 60_000;

let wall: number;
let steady: number;
let signed: { now: number; refused: boolean }[];
let next: () => Promise<{ token: string; expiration?: number }>;
let kept: { token(): Promise<string>; invalidate(): void };

beforeEach(() => {
  [wall, steady, signed] = [1_800_000_000_000, 5, []];
  next = async () => ({ token: `token ${signed.length}` });
  const sign = (now: number, refused: boolean) => {
    signed.push({ now, refused });
    return next();
  };
  kept = new TokenCache(sign, { wall: () => wall, steady: () => steady });
});

function pass(ms: number): void {
  wall += ms;
  steady += ms;
}

test('a token is reused for ten of its fifteen minutes', async () => {
  expect(await Promise.all([kept.token(), kept.token()])).toEqual(['token 1', 'token 1']);
  pass(10 * MINUTE - 1);
  expect(await kept.token()).toBe('token 1');
  pass(1);
  expect(await Promise.all([kept.token(), kept.token()])).toEqual(['token 2', 'token 2']);
  expect(signed).toEqual([
    { now: 1_800_000_000_000, refused: false },
    { now: 1_800_000_600_000, refused: false },
  ]);
});

test.each([
  ['after a freeze of the process', () => (wall += 10 * MINUTE)],
  ['while the wall clock stands still', () => (steady += 10 * MINUTE)],
  ['after the wall clock is set back', () => (wall -= 1)],
])('a token is not reused %s', async (_, change) => {
  await kept.token();
  change();
  expect(await kept.token()).toBe('token 2');
});

test('a token expires a minute before its credentials', async () => {
  next = async () => ({ token: `token ${signed.length}`, expiration: 1_800_000_000_000 + 5 * MINUTE });
  await kept.token();
  pass(4 * MINUTE - 1);
  expect(await kept.token()).toBe('token 1');
  pass(1);
  expect(await kept.token()).toBe('token 2');
});

test('a token that cannot be renewed is used until a minute before its end, then the error is thrown', async () => {
  await kept.token();
  next = () => Promise.reject(new Error('no credentials'));
  pass(14 * MINUTE - 1);
  expect(await kept.token()).toBe('token 1');
  pass(1);
  await expect(kept.token()).rejects.toThrow('no credentials');
  // An error is not cached.
  next = async () => ({ token: 'another' });
  expect(await kept.token()).toBe('another');
});

test('a refused token is signed again, once for all refused connections', async () => {
  await kept.token();
  kept.invalidate();
  const first = kept.token();
  kept.invalidate();
  expect(await Promise.all([first, kept.token()])).toEqual(['token 2', 'token 2']);
  pass(10 * MINUTE);
  await kept.token();
  expect(signed.map(({ refused }) => refused)).toEqual([false, true, false]);
});
