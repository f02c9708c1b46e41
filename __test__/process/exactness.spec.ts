import { spawn, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { join } from 'node:path';
import { startRedis, type RedisServer } from '../support/redis';

const PROCESSES = 8;
const ROUNDS = 10;
const PLANS = { starter: 50, pro: 100, business: 500 };

interface RoundResult {
  readonly allowed: number;
  readonly denied: number;
  readonly anomalies: number;
}

/** A process that makes concurrent checks on command. */
class Hammer {
  readonly #child: ChildProcess;
  readonly #answers: AsyncIterator<string>;

  constructor(url: string) {
    this.#child = spawn(process.execPath, [join(__dirname, '../fixtures/concurrent-checks.cjs')], {
      env: { ...process.env, REDIS_URL: url },
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#answers = createInterface({ input: this.#child.stdout! })[Symbol.asyncIterator]();
  }

  async round(creator: string, plan: string, count: number): Promise<RoundResult> {
    this.#child.stdin!.write(`${creator} ${plan} ${count}\n`);
    return JSON.parse((await this.#answers.next()).value);
  }

  async stop() {
    const gone = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.stdin!.end();
    await gone;
  }
}

let redis: RedisServer;
let hammers: Hammer[];

beforeAll(async () => {
  redis = await startRedis();
  hammers = Array.from({ length: PROCESSES }, () => new Hammer(redis.url));
});
afterAll(async () => {
  await Promise.all(hammers.map((h) => h.stop()));
  await redis.stop();
});

test.each(Object.entries(PLANS))(
  'eight processes hammering one creator at once admit exactly the limit: %s, %i',
  async (plan, limit) => {
    const admitted: number[] = [];
    const anomalies: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const results = await Promise.all(hammers.map((h) => h.round(`${plan}-${round}`, plan, limit)));
      const sum = (field: keyof RoundResult) => results.reduce((total, t) => total + t[field], 0);
      expect(sum('allowed') + sum('denied')).toBe(limit * PROCESSES);
      admitted.push(sum('allowed'));
      anomalies.push(sum('anomalies'));
    }
    process.stdout.write(
      `  ${plan}: limit ${limit}, admitted by ${PROCESSES} processes in ${ROUNDS} rounds: ${admitted.join(' ')}\n`,
    );
    expect(admitted).toEqual(Array(ROUNDS).fill(limit));
    // One report for each id, by one of the processes.
    expect(anomalies).toEqual(Array(ROUNDS).fill(1));
  },
);

test('every key has a TTL, no longer than the window and its slack', () => {
  const ttls = redis.ttls();
  expect(Object.keys(ttls)).toHaveLength(ROUNDS * Object.keys(PLANS).length);
  for (const ttl of Object.values(ttls)) {
    expect(ttl).toBeGreaterThan(0);
    expect(ttl).toBeLessThanOrEqual(3_600_000 + 60_000);
  }
});
