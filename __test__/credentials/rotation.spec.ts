import type { RedisOptions } from '@huntaze/rate-limit';
import { startRedis, type RedisServer } from '../support/redis';
import { until } from '../support/time';
import { Traffic } from './traffic';

// A password is rotated as ElastiCache does it: first old and new are valid, then the new one alone. Checks continue
// and processes start and stop meanwhile; Redis decides each check.

const [OLD, NEW] = ['the-old-password-of-the-limiter', 'the-new-password-of-the-limiter'];
const SHORT_LIVED = 30;

let server: RedisServer;
beforeEach(async () => {
  server = await startRedis('--requirepass', 'of-the-operator');
  user('on', '~*', '+@all', `>${OLD}`);
});
afterEach(() => server.stop());

function user(...rules: string[]): void {
  server.cli('-a', 'of-the-operator', '--no-auth-warning', 'acl', 'setuser', 'limiter', ...rules);
}

/** The rotation strategies of ElastiCache. */
const ROTATE = () => user(`>${NEW}`);
const SET = () => user('resetpass', `>${NEW}`);

const redis = (password: RedisOptions['password']): RedisOptions => ({
  ...{ host: '127.0.0.1', port: server.port, username: 'limiter', password },
});

async function expectRedisAlone(traffic: Traffic, steps: (() => void)[]): Promise<void> {
  try {
    for (const step of steps) {
      await traffic.more(SHORT_LIVED);
      step();
    }
    await traffic.more(SHORT_LIVED);
  } finally {
    await traffic.end();
  }
  expect(Object.keys(traffic.sources)).toEqual(['redis']);
  expect(traffic.sources.redis).toBeGreaterThan(SHORT_LIVED * steps.length);
}

test.each([
  ['the new one first', [NEW, OLD]],
  ['the old one first', [OLD, NEW]],
])('a list: %s', async (_, list) => {
  let password: string | string[] = OLD;
  await expectRedisAlone(new Traffic(() => redis(password)), [
    ROTATE,
    () => (password = list),
    SET,
    () => (password = NEW),
  ]);
});

test('a list that is deployed before the server has the new one', async () => {
  let password: string | string[] = OLD;
  await expectRedisAlone(new Traffic(() => redis(password)), [() => (password = [NEW, OLD]), ROTATE, SET]);
});

test('a function', async () => {
  let secret = OLD;
  await expectRedisAlone(new Traffic(() => redis(async () => secret)), [ROTATE, () => (secret = NEW), SET]);
});

test('a function that returns the old password once: it is called again within the connect', async () => {
  let current = OLD;
  let asked = 0;
  // As a cache of a secrets manager that refreshes in the background.
  const delayed = () => {
    let kept = OLD;
    return async () => {
      asked++;
      const given = kept;
      kept = current;
      return given;
    };
  };
  const traffic = new Traffic(() => redis(delayed()));
  await expectRedisAlone(traffic, [() => ((current = NEW), SET())]);
  expect(asked).toBeGreaterThan(traffic.shortLived + SHORT_LIVED);
});

test('the control: the old password alone is refused', async () => {
  const traffic = new Traffic(() => redis(OLD));
  try {
    await traffic.more(1);
    SET();
    await until(() => traffic.sources.local! > 0);
  } finally {
    await traffic.end();
  }
});

test('a user deleted and created again under load: each check settles, and Redis decides again', async () => {
  let secret = OLD;
  const traffic = new Traffic(() => redis(async () => secret));
  try {
    await traffic.more(SHORT_LIVED);
    server.cli('-a', 'of-the-operator', '--no-auth-warning', 'acl', 'deluser', 'limiter');
    secret = NEW;
    user('on', '~*', '+@all', `>${NEW}`);
    await traffic.more(3);
    const before = traffic.sources.redis!;
    await until(() => traffic.sources.redis! > before + SHORT_LIVED);
  } finally {
    await traffic.end();
  }
  // Checks on connections that the server closed were decided locally.
  expect(Object.keys(traffic.sources).every((source) => source === 'redis' || source === 'local')).toBe(true);
});
