// F13: an endless script blocks the server. F14: the script cache is flushed, once and repeatedly.

import { Scenario } from '../scenario.mjs';
import { eventually, now, sleep } from '../time.mjs';

export const busy = {
  id: 'F13',
  title: 'BUSY: a script that does not end',
  quick: false,
  async run(context) {
    const server = await context.server({ options: ['--busy-reply-threshold', '100'] });
    const scenario = await Scenario.open(context, { server });
    const busy = await server.connect();
    context.keep(busy, () => busy.close());
    await scenario.outage('an endless script', {
      begin: async () => {
        busy.send('EVAL', 'while true do end', 0).catch(() => {});
        // A script that has not begun cannot be killed.
        const answer = () => server.send('PING').catch((error) => error.message);
        await eventually('the server is busy', async () => (await answer()).startsWith('BUSY'));
      },
      lastMs: 500,
      until: scenario.hasFailedWith('BUSY'),
      end: () => server.send('SCRIPT', 'KILL'),
    });
    await scenario.stopTraffic();
    scenario.must(scenario.failedWith('BUSY') > 0, 'no check failed with BUSY');
    return scenario.finish();
  },
};

export const flushed = {
  id: 'F14',
  title: 'scripts flushed, once and in a storm',
  quick: true,
  async run(context) {
    const server = await context.server();
    // Long enough that only a flush, and no slow moment of the machine, could prevent a decision of Redis. A flush must
    // go unnoticed: the script is sent again within the same check.
    const scenario = await Scenario.open(context, { server, quota: { timeoutMs: 20_000 }, disruptive: false });
    const from = now();
    await scenario.outage('once', { begin: () => server.send('SCRIPT', 'FLUSH'), lastMs: 300 });
    let flushes = 0;
    await scenario.outage('a storm', {
      begin: async () => {
        for (const end = now() + (context.quick ? 500 : 1500); now() < end; flushes++) {
          await server.send('SCRIPT', 'FLUSH');
          await sleep(2);
        }
      },
    });
    await scenario.stopTraffic();
    const other = scenario.between(from).filter(({ source }) => source !== 'redis' && source !== 'deny-cache');
    scenario.must(other.length === 0, `${other.length} decided by ${other[0]?.source}: a flush is no outage`);
    scenario.note(`${flushes} flushes in the storm`);
    return scenario.finish();
  },
};
