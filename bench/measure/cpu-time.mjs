// The cost of an interval: the CPU time of this whole process, and that of the server.

/**
 * Runs an interval and returns its result with rates and the cost of a check. Without `redis` there is no server cost.
 */
export async function withCost(redis, interval) {
  const server = await redis?.cpuSeconds();
  const scriptsBefore = await redis?.scripts();
  const cpuBefore = process.cpuUsage();
  const result = await interval();
  const { user, system } = process.cpuUsage(cpuBefore);
  const serverMicros = redis ? ((await redis.cpuSeconds()) - server) * 1e6 : undefined;
  const scriptsAfter = await redis?.scripts();
  return {
    ...result,
    perSecond: (result.checks / result.ms) * 1000,
    cpuMicros: (user + system) / result.checks,
    ...(redis && {
      redisMicros: serverMicros / result.checks,
      scriptMicros: (scriptsAfter.micros - scriptsBefore.micros) / result.checks,
      calls: scriptsAfter.calls - scriptsBefore.calls,
    }),
  };
}
