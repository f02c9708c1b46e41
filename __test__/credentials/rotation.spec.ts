import type { RedisOptions } from '@huntaze/rate-limit';
import { startRedis, type RedisServer } from '../support/redis';
import { until } from '../support/time';
import { Load } from './traffic';

// A password is rotated as ElastiCache does it, old and new valid first and then the new one alone, while checks go on and
// processes come and go: each check is decided by Redis.

const [OLD, NEW] = ['the-old-password-of-the-limiter', 'the-new-password-of-the-limiter'];
const NEWCOMERS = 30;

let server: RedisServer;
beforeEach(async () => {
  server = await startRedis('--requirepass', 'of-the-operator');
  user('on', '~*', '+@all', `>${OLD}`);
});
afterEach(() => server.stop());

function user(...rules: string[]): void {
  server.cli('-a', 'of-the-operator', '--no-auth-warning', 'acl', 'setuser', 'limiter', ...rules);
}

/** The strategies of ElastiCache. */
const ROTATE = () => user(`>${NEW}`);
const SET = () => user('resetpass', `>${NEW}`);

const redis = (password: RedisOptions['password']): RedisOptions => ({
  ...{ host: '127.0.0.1', port: server.port, username: 'limiter', password },
});

async function expectRedisAlone(load: Load, steps: (() => void)[]): Promise<void> {
  try {
    for (const step of steps) {
      await load.more(NEWCOMERS);
      step();
    }
    await load.more(NEWCOMERS);
  } finally {
    await load.end();
  }
  expect(Object.keys(load.sources)).toEqual(['redis']);
  expect(load.sources.redis).toBeGreaterThan(NEWCOMERS * steps.length);
}

test.each([
  ['the new one first', [NEW, OLD]],
  ['the old one first', [OLD, NEW]],
])('a list: %s', async (_, list) => {
  let password: string | string[] = OLD;
  await expectRedisAlone(new Load(() => redis(password)), [
    ROTATE,
    () => (password = list),
    SET,
    () => (password = NEW),
  ]);
});

test('a list that is deployed before the server knows the new one', async () => {
  let password: string | string[] = OLD;
  await expectRedisAlone(new Load(() => redis(password)), [() => (password = [NEW, OLD]), ROTATE, SET]);
});

test('a function', async () => {
  let secret = OLD;
  await expectRedisAlone(new Load(() => redis(async () => secret)), [ROTATE, () => (secret = NEW), SET]);
});

test('a function that is a moment behind: it is asked again within the connect', async () => {
  let current = OLD;
  let asked = 0;
  // As one that keeps what a secrets manager said, and asks there again in the background.
  const behind = () => {
    let kept = OLD;
    return async () => {
      asked++;
      const given = kept;
      kept = current;
      return given;
    };
  };
  const load = new Load(() => redis(behind()));
  await expectRedisAlone(load, [() => ((current = NEW), SET())]);
  expect(asked).toBeGreaterThan(load.newcomers + NEWCOMERS);
});

test('the control: who has the old one alone is not let in', async () => {
  const load = new Load(() => redis(OLD));
  try {
    await load.more(1);
    SET();
    await until(() => load.sources.local! > 0);
  } finally {
    await load.end();
  }
});

test('a user who is made anew while checks go on: each settles, and Redis decides again', async () => {
  let secret = OLD;
  const load = new Load(() => redis(async () => secret));
  try {
    await load.more(NEWCOMERS);
    server.cli('-a', 'of-the-operator', '--no-auth-warning', 'acl', 'deluser', 'limiter');
    secret = NEW;
    user('on', '~*', '+@all', `>${NEW}`);
    await load.more(3);
    const before = load.sources.redis!;
    await until(() => load.sources.redis! > before + NEWCOMERS);
  } finally {
    await load.end();
  }
  // Those whose connections the server closed were decided here.
  expect(Object.keys(load.sources).every((source) => source === 'redis' || source === 'local')).toBe(true);
});
