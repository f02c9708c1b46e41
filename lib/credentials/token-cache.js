'use strict';

/** How long a token is valid, in seconds: ElastiCache accepts no other value. */
const TOKEN_LIFE_S = 900;

/**
 * A token is renewed at two thirds of its life. The last third allows for clock skew: a token signed by a clock five
 * minutes behind the server's is still valid, as is one signed five minutes ahead, by AWS's own tolerance.
 */
const RENEW_AFTER_MS = 600_000;

/** The longest use of a token that cannot be renewed: a minute of its life is left for the transfer. */
const MAX_USE_MS = 840_000;

/** A token expires with the credentials that signed it; a minute is left for the transfer. */
const MARGIN_MS = 60_000;

/** Two clocks: the steady one can stand still while a process is frozen, and the wall clock can be set. */
const CLOCKS = { wall: () => Date.now(), steady: () => performance.now() };

/**
 * Signs a token at `now`, in Unix ms; `refused` says that the server rejected the last one. `expiration`, in Unix ms,
 * is that of the credentials.
 *
 * @typedef {(now: number, refused: boolean) => Promise<{ token: string, expiration?: number | undefined }>} Sign
 */

/** @typedef {{ token: string, wall: number, steady: number, until: number }} CachedToken */

/** A token that all callers share. A call near the end of its life renews it: there is no timer. */
class TokenCache {
  /** @type {Sign} */
  #sign;
  /** @type {typeof CLOCKS} */
  #clocks;
  /** @type {CachedToken | undefined} */
  #cached;
  /** @type {Promise<string> | undefined} */
  #renewal;
  #refused = false;

  /**
   * @param {Sign} sign
   * @param {typeof CLOCKS} clocks
   */
  constructor(sign, clocks = CLOCKS) {
    this.#sign = sign;
    this.#clocks = clocks;
  }

  token() {
    if (this.#isYoungerThan(RENEW_AFTER_MS)) return Promise.resolve(/** @type {CachedToken} */ (this.#cached).token);
    this.#renewal ??= this.#renew().finally(() => (this.#renewal = undefined));
    return this.#renewal;
  }

  /** The server has rejected the token. A renewal in flight is newer and stays shared. */
  invalidate() {
    this.#cached = undefined;
    this.#refused = true;
  }

  async #renew() {
    const [wall, steady] = [this.#clocks.wall(), this.#clocks.steady()];
    try {
      const { token, expiration = Infinity } = await this.#sign(wall, this.#refused);
      this.#refused = false;
      this.#cached = { token, wall, steady, until: expiration - MARGIN_MS };
    } catch (error) {
      if (!this.#isYoungerThan(MAX_USE_MS)) throw error;
    }
    return /** @type {CachedToken} */ (this.#cached).token;
  }

  /**
   * Whether the token is younger than `ms` by both clocks. If the wall clock is before the signing, it was set back,
   * and was wrong when it signed.
   *
   * @param {number} ms
   */
  #isYoungerThan(ms) {
    if (this.#cached === undefined) return false;
    const { wall, steady, until } = this.#cached;
    const [now, age] = [this.#clocks.wall(), this.#clocks.steady() - steady];
    return now >= wall && now - wall < ms && now < until && age < ms;
  }
}

module.exports = { TokenCache, TOKEN_LIFE_S };
