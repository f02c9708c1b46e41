// I20: descriptors, threads and memory return to their earlier values.

/** Two more connections, one being opened while another is dropped. */
const DESCRIPTORS = 2;
/** DNS look-ups run on threads that end after ten idle seconds, at most one for each limiter of a process. */
const THREADS = 3;
/** The collector and the allocator retain this much after a burst; a leak of a kilobyte a check would be more. */
const MEMORY = 48 * 2 ** 20;

/** @param before, after one footprint for each process */
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
