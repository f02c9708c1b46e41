// F20: a client that a platform freezes between requests. When it goes on, the server has closed its connections as idle.

import { Stage } from '../stage.mjs';
import { sleep, until } from '../time.mjs';
import { SCHEDULING_MS } from '../invariants.mjs';

const PROCESSES = 5;

export default {
  id: 'F20',
  title: 'client stopped for longer than the server keeps idle connections',
  quick: false,
  async run(context) {
    const server = await context.server({ options: ['--timeout', 1] });
    const stage = await Stage.open(context, { server, processes: PROCESSES, streams: { asking: 6 } });
    const slowest = [];
    for (let round = 0; round < 2; round++) {
      await stage.all('stop');
      stage.callers.forEach((caller) => caller.freeze());
      context.step(`${PROCESSES} processes stopped`);
      // Only the suite's own connection is left.
      const alone = await until(8000, async () => (await server.info('clients')).connected_clients === '1', 100);
      stage.must(alone, 'the server did not close what is idle');
      const answers = stage.callers.map((caller) =>
        Promise.all(
          Object.keys(stage.limiters).map((limiter) => caller.ask('check', { limiter, id: `after-${round}` })),
        ),
      );
      stage.callers.forEach((caller) => caller.thaw());
      const decisions = (await Promise.all(answers)).flat();
      const other = decisions.filter(({ source }) => source !== 'redis');
      stage.must(
        other.length === 0,
        `${other.length} of ${decisions.length} first checks decided by ${other[0]?.source}`,
      );
      const took = Math.max(...decisions.map(({ calledAt, settledAt }) => settledAt - calledAt));
      slowest.push(Math.round(took));
      await stage.resume();
    }
    stage.note(`the first check of ${2 * PROCESSES} thawed processes took ${slowest.join(' and ')} ms at the most`);
    stage.must(
      slowest.every((ms) => ms <= stage.limiters.local.timeoutMs + SCHEDULING_MS),
      'I16: a first check was late',
    );
    // And with checks in flight.
    await stage.outage('stopped with checks in flight', {
      begin: () => stage.callers.forEach((caller) => caller.freeze()),
      lastMs: 3000,
      end: () => stage.callers.forEach((caller) => caller.thaw()),
    });
    await sleep(300);
    // Its own timers stood still, not Redis.
    return stage.finish({ bites: false, still: true });
  },
};
