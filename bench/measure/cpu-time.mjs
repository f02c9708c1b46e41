// The cost of an interval: the CPU time of this whole process, and that of the server.

/**
 * Runs an interval and returns its result with rates and the cost of a check. Without `redis` there is no server cost.
 */
export async function withCost(redis, stretch) {
  const server = await redis?.cpuSeconds();
  const scripts = await redis?.scripts();
  const process_ = process.cpuUsage();
  const result = await stretch();
  const { user, system } = process.cpuUsage(process_);
  const serverMicros = redis ? ((await redis.cpuSeconds()) - server) * 1e6 : undefined;
  const ran = await redis?.scripts();
  return {
    ...result,
    perSecond: (result.checks / result.ms) * 1000,
    cpuMicros: (user + system) / result.checks,
    ...(redis && {
      redisMicros: serverMicros / result.checks,
      scriptMicros: (ran.micros - scripts.micros) / result.checks,
      calls: ran.calls - scripts.calls,
    }),
  };
}
