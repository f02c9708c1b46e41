import { RateLimiter, type Decision, type RedisOptions } from '@huntaze/rate-limit';
import { freshId } from '../support/stores';
import { HANG_MS, until } from '../support/time';

const PATIENT = { timeoutMs: HANG_MS, denyCacheMs: 0 } as const;

/**
 * Continuous checks, over a connection that stays and over successive connections for a single check each, as processes
 * that are deployed meanwhile would make.
 */
export class Traffic {
  /** How often each source decided. */
  readonly sources: Partial<Record<Decision['source'], number>> = {};
  shortLived = 0;
  readonly #redis: () => RedisOptions;
  readonly #longLived: RateLimiter;
  readonly #loops: Promise<void>[];
  #done = false;

  /** `redis` returns the options of each new limiter. */
  constructor(redis: () => RedisOptions) {
    this.#redis = redis;
    this.#longLived = this.#limiter();
    this.#loops = [this.#checkForever(), this.#checkForever(), this.#connectAndClose()];
  }

  /** Resolves after `shortLived` more connections were opened, used and closed. */
  async more(shortLived: number): Promise<void> {
    const wanted = this.shortLived + shortLived;
    await until(() => this.shortLived >= wanted);
  }

  async end(): Promise<void> {
    this.#done = true;
    await Promise.all(this.#loops);
    await this.#longLived.close();
  }

  #limiter(): RateLimiter {
    // Limiters with the same options share a connection; a different budget gives each its own.
    const redis = { ...this.#redis(), connectTimeoutMs: HANG_MS - this.shortLived };
    return new RateLimiter({ name: 'load', limit: 1_000_000, windowMs: 60_000, redis, ...PATIENT });
  }

  async #checkForever(): Promise<void> {
    while (!this.#done) await this.#check(this.#longLived);
  }

  async #connectAndClose(): Promise<void> {
    while (!this.#done) {
      const limiter = this.#limiter();
      await this.#check(limiter);
      await limiter.close();
      this.shortLived++;
    }
  }

  async #check(limiter: RateLimiter): Promise<void> {
    const { source } = await limiter.limit(freshId());
    this.sources[source] = (this.sources[source] ?? 0) + 1;
    // Without it these loops would block the event loop for the others.
    await new Promise((resolve) => setImmediate(resolve));
  }
}
