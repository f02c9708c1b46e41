import { spawn, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { join } from 'node:path';
import { startRedis, type RedisServer } from './support/redis';

// The rollout of docs/migration.md: processes with the module that this package replaces and processes with this
// package share one Redis, forward and back.

type Limiter = 'old' | 'both' | 'new';

const LIMIT = 50;
const OWN_KEYS: Record<'old' | 'new', RegExp> = { old: /^(rate_limit|anomaly):/, new: /^\{creator:[^{}]*\}$/ };

/** Some of the ids look like keys of the other limiter. */
const CREATORS = ['veteran', '7', '{creator:7}', 'rate_limit:7'];

/** A process of the application, with one of the limiters. */
class App {
  readonly #child: ChildProcess;
  readonly #answers: AsyncIterator<string>;
  readonly #ended: Promise<number | null>;
  #complaints = '';

  constructor(
    url: string,
    readonly limiter: Limiter,
    limit: number,
  ) {
    this.#child = spawn(process.execPath, [join(__dirname, 'fixtures/migration/app.cjs'), limiter, `${limit}`], {
      env: { ...process.env, REDIS_URL: url },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    this.#child.stderr!.on('data', (chunk) => (this.#complaints += chunk));
    this.#ended = new Promise((resolve) => this.#child.once('close', resolve));
    this.#answers = createInterface({ input: this.#child.stdout! })[Symbol.asyncIterator]();
  }

  /** Makes `count` concurrent requests, and resolves to the number allowed. */
  async ask(creator: string, count: number): Promise<number> {
    this.#child.stdin!.write(`${creator} ${count}\n`);
    const { value, done } = await this.#answers.next();
    if (done) throw new Error(`a process with the ${this.limiter} limiter ended: ${this.#complaints}`);
    return Number(value);
  }

  kill() {
    this.#child.kill('SIGKILL');
  }

  /** Ends it, and fails the test if it printed an error. */
  async stop() {
    this.#child.stdin!.end();
    expect({ code: await this.#ended, complaints: this.#complaints }).toEqual({ code: 0, complaints: '' });
  }
}

let redis: RedisServer;
beforeEach(async () => (redis = await startRedis()));
afterEach(() => redis.stop());

/** Runs processes with these limiters for one phase of the rollout. */
async function phase<T>(limiters: Limiter[], limit: number, run: (apps: App[]) => Promise<T>): Promise<T> {
  const apps = limiters.map((limiter) => new App(redis.url, limiter, limit));
  try {
    const result = await run(apps);
    await Promise.all(apps.map((app) => app.stop()));
    return result;
  } finally {
    for (const app of apps) app.kill();
  }
}

/**
 * The number of requests that each limiter allows when every process makes `count` requests. Processes with the old
 * limiter make them one after the other: concurrently they would admit more than the limit, because each counts before
 * any has written.
 */
async function allowed(apps: App[], creator: string, count: number): Promise<{ old: number; new: number }> {
  const oneByOne = async (some: App[]) => {
    let sum = 0;
    for (const app of some) sum += await app.ask(creator, count);
    return sum;
  };
  const atOnce = async (some: App[]) =>
    (await Promise.all(some.map((app) => app.ask(creator, count)))).reduce((sum, one) => sum + one, 0);
  const [before, after] = await Promise.all([
    oneByOne(apps.filter(({ limiter }) => limiter === 'old')),
    atOnce(apps.filter(({ limiter }) => limiter === 'new')),
  ]);
  return { old: before, new: after };
}

interface Entry {
  /** The digest of DUMP. */
  readonly digest: string;
  readonly ttlMs: number;
}

const EVERYTHING = `
  local found = {}
  for _, key in ipairs(redis.call('keys', '*')) do
    found[key] = { digest = redis.sha1hex(redis.call('dump', key)), ttlMs = redis.call('pttl', key) }
  end
  return cjson.encode(found)`;

function everything(): [string, Entry][] {
  return Object.entries(JSON.parse(redis.cli('eval', EVERYTHING, '0')) as Record<string, Entry>);
}

/** All keys that one limiter has written. */
function written(limiter: 'old' | 'new'): Record<string, string> {
  const own = everything().filter(([key]) => OWN_KEYS[limiter].test(key));
  return Object.fromEntries(own.map(([key, { digest }]) => [key, digest]));
}

/** Every key belongs to exactly one of the two limiters and has a TTL. Returns the number of keys. */
function expectOwnKeys(): number {
  const entries = everything();
  for (const [key, { ttlMs }] of entries) {
    const owners = Object.values(OWN_KEYS).filter((own) => own.test(key)).length;
    expect({ key, owners }).toEqual({ key, owners: 1 });
    expect(ttlMs).toBeGreaterThan(0);
    expect(ttlMs).toBeLessThanOrEqual(3_600_000 + 60_000);
  }
  return entries.length;
}

test('old, half and half, new, back to old, and new again', async () => {
  await phase(['old', 'old'], LIMIT, async (apps) => {
    for (const creator of CREATORS) expect(await allowed(apps, creator, 15)).toEqual({ old: 30, new: 0 });
  });
  expect(Object.keys(written('old'))).toHaveLength(2 * CREATORS.length);
  expect(written('new')).toEqual({});

  // Half and half: each limiter has its own count, so the limit is at most one of either.
  await phase(['old', 'old', 'new', 'new'], LIMIT, async (apps) => {
    for (const creator of CREATORS) {
      const mixed = await allowed(apps, creator, 60);
      const inTheWindow = 30 + mixed.old + mixed.new;
      expect(inTheWindow).toBeLessThanOrEqual(LIMIT + LIMIT);
      expect(mixed).toEqual({ old: LIMIT - 30, new: LIMIT });
    }
  });
  expect(expectOwnKeys()).toBe(3 * CREATORS.length);

  // New only: exactly the limit, and the old keys are unchanged.
  const oldKeys = written('old');
  await phase(['new', 'new', 'new', 'new'], LIMIT, async (apps) => {
    expect(await allowed(apps, 'fresh', LIMIT)).toEqual({ old: 0, new: LIMIT });
    expect(await allowed(apps, 'some', 5)).toEqual({ old: 0, new: 20 });
    for (const creator of CREATORS) expect(await allowed(apps, creator, 1)).toEqual({ old: 0, new: 0 });
  });
  expect(written('old')).toEqual(oldKeys);
  expectOwnKeys();

  // Back: the old limiter continues with its counts, and the new keys are unchanged.
  const newKeys = written('new');
  await phase(['old', 'old'], LIMIT, async (apps) => {
    expect(await allowed(apps, 'late', LIMIT)).toEqual({ old: LIMIT, new: 0 });
    for (const creator of CREATORS) expect(await allowed(apps, creator, 1)).toEqual({ old: 0, new: 0 });
  });
  expect(written('new')).toEqual(newKeys);
  expectOwnKeys();

  // New again: it still has its counts.
  const lastOldKeys = written('old');
  await phase(['new', 'new'], LIMIT, async (apps) => {
    for (const creator of ['fresh', ...CREATORS]) expect(await allowed(apps, creator, 1)).toEqual({ old: 0, new: 0 });
    expect(await allowed(apps, 'some', LIMIT)).toEqual({ old: 0, new: LIMIT - 20 });
  });
  expect(written('old')).toEqual(lastOldKeys);
  expectOwnKeys();
});

test('with half the limit on either side, both together admit no more than the limit', async () => {
  await phase(['old', 'new'], LIMIT / 2, async (apps) => {
    expect(await allowed(apps, 'veteran', LIMIT)).toEqual({ old: LIMIT / 2, new: LIMIT / 2 });
  });
  // The whole limit again, in the same window: admissions at half of it count.
  await phase(['new', 'new'], LIMIT, async (apps) => {
    expect(await allowed(apps, 'veteran', LIMIT)).toEqual({ old: 0, new: LIMIT / 2 });
  });
});

describe('with both limiters in a row for one window', () => {
  /** The number of requests allowed to a creator in one window, who makes as many in each process of each phase. */
  async function inOneWindow(creator: string, phases: Limiter[][]): Promise<number> {
    let sum = 0;
    for (const limiters of phases) {
      await phase(limiters, LIMIT, async (apps) => {
        for (const app of apps) sum += await app.ask(creator, 20);
      });
    }
    return sum;
  }

  // No window is longer than the middle phase, so none contains requests of both the phase before and the phase after
  // it.
  test('the migration admits no more than the limit', async () => {
    const there: Limiter[][] = [
      ['old', 'old'],
      ['old', 'both'],
      ['both', 'both'],
    ];
    expect(await inOneWindow('there', there)).toBe(LIMIT);
  });

  test('nor does the step to the new limiter alone', async () => {
    const on: Limiter[][] = [
      ['both', 'both'],
      ['both', 'new'],
      ['new', 'new'],
    ];
    expect(await inOneWindow('on', on)).toBe(LIMIT);
  });

  test('but both must run for a whole window', async () => {
    const hasty: Limiter[][] = [['old', 'both'], ['both', 'new'], ['new']];
    const sum = await inOneWindow('hasty', hasty);
    expect(sum).toBeGreaterThan(LIMIT);
    expect(sum).toBeLessThanOrEqual(2 * LIMIT);
  });
});
