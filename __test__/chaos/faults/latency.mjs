// F11: a slow network: within the deadline, beyond it, and in single bytes.

import { Scenario } from '../scenario.mjs';
import { eventually, now, sleep } from '../time.mjs';

export const latency = {
  id: 'F11a',
  title: 'latency within the deadline and beyond it',
  quick: false,
  async run(context) {
    const server = await context.server();
    const proxy = await context.proxy(server);
    const scenario = await Scenario.open(context, { server, through: proxy });
    // In each direction.
    proxy.set('latency', { ms: 40 });
    await sleep(300);
    const slow = [now()];
    await sleep(700);
    await eventually('Redis decides at 80 ms a round trip', () => scenario.hasDecided(slow[0]));
    slow.push(now());
    await scenario.outage('400 ms each way', {
      begin: () => proxy.set('latency', { ms: 400 }),
      lastMs: context.quick ? 600 : 1500,
      end: () => proxy.set('pass'),
    });
    await scenario.stopTraffic();
    const meanwhile = scenario.between(...slow);
    const byRedis = meanwhile.filter(({ source }) => source === 'redis').length;
    scenario.must(byRedis > 0, 'nothing was decided by Redis at 80 ms a round trip');
    scenario.note(`at 80 ms a round trip ${scenario.share(meanwhile)}`);
    return scenario.finish();
  },
};

export const slices = {
  id: 'F11b',
  title: 'one byte at a time',
  quick: false,
  async run(context) {
    const server = await context.server();
    const proxy = await context.proxy(server);
    // Each byte costs the proxy a system call, so the traffic is low. Every check is in time, unless the machine is too
    // busy.
    const scenario = await Scenario.open(context, {
      server,
      through: proxy,
      streams: { asking: 3, thinkMs: 100 },
      disruptive: false,
    });
    const from = now();
    await scenario.outage('slices', {
      begin: () => proxy.set('slices'),
      lastMs: 2000,
      until: (since) => scenario.hasDecided(since),
      end: () => proxy.set('pass'),
    });
    await scenario.stopTraffic();
    const sliced = scenario.between(from, scenario.outages[0][1]);
    scenario.must(
      sliced.some(({ source }) => source === 'redis'),
      'nothing was decided by Redis from single bytes',
    );
    scenario.note(`from single bytes ${scenario.share(sliced)}`);
    return scenario.finish();
  },
};
