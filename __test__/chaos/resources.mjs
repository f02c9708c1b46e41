// I20: descriptors, threads and memory come back to where they were.

/** Two more connections, one being opened while another is dropped. */
const DESCRIPTORS = 2;
/** Names are looked up on threads that go after ten idle seconds, and that is one a limiter of a process at the most. */
const THREADS = 3;
/** What the collector and the allocator keep of a burst; a leak of a kilobyte a check would be more. */
const MEMORY = 48 * 2 ** 20;

/** @param before, after one footprint a process */
export function resourceLeaks(before, after) {
  return after.flatMap((now, i) => {
    const was = before[i];
    return [
      ...(now.descriptors > was.descriptors + DESCRIPTORS
        ? [`process ${i} has ${now.descriptors} descriptors, it had ${was.descriptors}`]
        : []),
      ...(now.threads > was.threads + THREADS
        ? [`process ${i} has ${now.threads} threads, it had ${was.threads}`]
        : []),
      ...(now.memory > was.memory + MEMORY
        ? [`process ${i} has ${mebibytes(now.memory)} MiB, it had ${mebibytes(was.memory)}`]
        : []),
    ];
  });
}

export function mebibytes(bytes) {
  return Math.round(bytes / 2 ** 20);
}
