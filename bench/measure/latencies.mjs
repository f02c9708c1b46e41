// The latency of every check of a stretch, and what is said of them.

const CHUNK = 65_536;

/** A list of numbers that grows without a copy of what is there: a copy would be a pause in the stretch. */
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

  /** Percentiles in ms: the smallest latency that as many are not above. Sorts: not for a stretch that is measured with withCost(). */
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
