// F20: a platform freezes a client between requests. When it continues, the server has closed its connections as idle.

import { Scenario } from '../scenario.mjs';
import { eventually } from '../time.mjs';

const PROCESSES = 5;

export default {
  id: 'F20',
  title: 'client stopped for longer than the server keeps idle connections',
  quick: false,
  async run(context) {
    const server = await context.server({ options: ['--timeout', 1] });
    // The client's own timers stopped, not Redis.
    const scenario = await Scenario.open(context, {
      server,
      processes: PROCESSES,
      streams: { asking: 6 },
      disruptive: false,
    });
    const firsts = [];
    for (let round = 0; round < 2; round++) {
      await scenario.all('stop');
      scenario.processes.forEach((child) => child.freeze());
      context.step(`${PROCESSES} processes stopped`);
      // The suite's connection alone is left; a slow suite is idle, too, and reconnects.
      const alone = async () => (await server.info('clients')).connected_clients === '1';
      await eventually('the server closes idle connections', () => alone().catch(() => false), 100);
      const answers = scenario.processes.map((child) =>
        Promise.all(
          Object.keys(scenario.limiters).map((limiter) => child.ask('check', { limiter, id: `after-${round}` })),
        ),
      );
      scenario.processes.forEach((child) => child.thaw());
      firsts.push(...(await Promise.all(answers)).flat());
      await scenario.resume();
    }
    // The same with checks in flight.
    await scenario.outage('stopped with checks in flight', {
      begin: () => scenario.processes.forEach((child) => child.freeze()),
      lastMs: 2000,
      end: () => scenario.processes.forEach((child) => child.thaw()),
    });
    await scenario.stopTraffic();
    // In time like all the others: I16.
    const asked = new Set(firsts.map(({ calledAt }) => calledAt));
    const decisions = scenario.history.filter(({ id, calledAt }) => id.startsWith('after-') && asked.has(calledAt));
    const other = scenario.unexplained(decisions);
    scenario.must(
      other.length === 0,
      `${other.length} of ${firsts.length} first checks decided by ${other[0]?.source}`,
    );
    const slowest = Math.max(...firsts.map(({ calledAt, settledAt }) => settledAt - calledAt));
    scenario.note(`the first check of ${2 * PROCESSES} thawed processes took ${Math.round(slowest)} ms at the most`);
    return scenario.finish({ still: true });
  },
};
