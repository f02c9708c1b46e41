// F23: wrong clocks: the server's clock jumps, the clients' are an hour apart.

import { replayed } from '../invariants.mjs';
import { Scenario } from '../scenario.mjs';

const HOUR = 3600;

export const serverClock = {
  id: 'F23a',
  title: 'server clock jumps an hour forward and back',
  quick: false,
  async run(context) {
    const clock = context.clock(0);
    const server = await context.server({ clock });
    const scenario = await Scenario.open(context, { server, disruptive: false });
    const moved = async (seconds) => {
      clock.set(seconds);
      await scenario.asked(100);
    };
    const [forward, back] = await scenario.outage('forward, then back', {
      begin: () => moved(HOUR),
      lastMs: 1000,
      end: () => clock.set(0),
    });
    await scenario.outage('an hour behind, then right', {
      begin: () => moved(-HOUR),
      lastMs: 1000,
      end: () => clock.set(0),
    });
    await scenario.stopTraffic();
    const admitted = scenario
      .between(forward, back)
      .filter(({ source, outcome }) => source === 'redis' && outcome === 'allowed');
    const ahead = admitted.filter(({ moment }) => moment - scenario.wallOffset - forward > (HOUR * 1000) / 2);
    scenario.must(ahead.length > 0, 'the clock of the server did not move');
    // The window is on the store's clock, and I1 is judged by it. A promised time is a duration: a clock jump breaks it
    // (I22), moves decisions away from the machine's time (own), and fills a log for the hour ahead (I5: stricter,
    // never looser). Keys that were to expire before the jump back live an hour longer (I9).
    return scenario.finish({ except: ['own', 'I5', 'I22'], moreTtlMs: HOUR * 1000 });
  },
};

export const clientClocks = {
  id: 'F23b',
  title: 'client clocks an hour ahead, an hour behind and right',
  quick: false,
  async run(context) {
    const server = await context.server({ options: ['--appendonly', 'yes', '--appendfsync', 'always'] });
    const skews = [HOUR, -HOUR, 0];
    const processOptions = (i) => ({ env: context.clock(skews[i]).env });
    const scenario = await Scenario.open(context, { server, processOptions, quota: { windowMs: 8000 } });
    await scenario.outage('killed', {
      begin: () => server.kill(),
      lastMs: 1000,
      returns: () => server.restart(),
    });
    await scenario.stopTraffic();
    const offsets = scenario.records.map(({ wallOffset }) => Math.round((wallOffset - scenario.wallOffset) / 1000));
    scenario.must(`${offsets}` === `${skews}`, `the clients' clocks are ${offsets} s off, not ${skews}`);
    for (const text of replayed(scenario.history, scenario.limiters, scenario.wallOffset, scenario.outages))
      scenario.must(false, text);
    return scenario.finish();
  },
};
