// The latency of every check of an interval, and their statistics.

const CHUNK = 65_536;

/** A growing list of numbers without copying: a copy would be a pause in the interval. */
export class Latencies {
  #chunks = [];
  #at = CHUNK;
  count = 0;

  add(ms) {
    if (this.#at === CHUNK) {
      this.#chunks.push(new Float64Array(CHUNK));
      this.#at = 0;
    }
    this.#chunks[this.#chunks.length - 1][this.#at++] = ms;
    this.count += 1;
  }

  /**
   * Percentiles in ms: the smallest latency that the given share does not exceed. It sorts, so it must not be called
   * within an interval that withCost() measures.
   */
  percentiles() {
    const sorted = this.#sorted();
    const at = (share) => sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)];
    return { p50: at(0.5), p99: at(0.99), p999: at(0.999) };
  }

  #sorted() {
    const all = new Float64Array(this.count);
    this.#chunks.forEach((chunk, i) => all.set(chunk.subarray(0, this.count - i * CHUNK), i * CHUNK));
    return all.sort();
  }
}
