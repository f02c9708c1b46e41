'use strict';

/** How long a token is valid, in seconds: ElastiCache takes no other value. */
const TOKEN_LIFE_S = 900;

/**
 * A token is renewed at two thirds of its life. The third that is left is for clocks that differ: one that is five minutes
 * behind the server's still signs what the server takes, as does one that is five minutes ahead, by AWS's own tolerance.
 */
const RENEW_AFTER_MS = 600_000;

/** Where it cannot be renewed, it is used for so long: a minute is left for its way. */
const MAX_USE_MS = 840_000;

/** Credentials that expire by themselves take their tokens along; a minute is left for the way. */
const MARGIN_MS = 60_000;

/** Two clocks: a process that is frozen finds the one where it was, and the other may be set. */
const CLOCKS = { wall: () => Date.now(), steady: () => performance.now() };

/**
 * Gives a token when asked at `now`, in Unix ms; `refused` says that the server did not take the last one. `expiration`,
 * in Unix ms, is that of the credentials.
 *
 * @typedef {(now: number, refused: boolean) => Promise<{ token: string, expiration?: number | undefined }>} Sign
 */

/** @typedef {{ token: string, wall: number, steady: number, until: number }} CachedToken */

/** A token that those who ask share, and that is signed anew in good time, by whoever asks then: no timer is kept. */
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

  /** The server has refused it. One that is being signed is newer, and shared as before. */
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
   * Whether it is younger than that, by either clock. A clock that was set back was wrong when it signed.
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
