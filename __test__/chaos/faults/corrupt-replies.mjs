// F24: the reply is no reply to a check. F25: the reply belongs to another request.

import { GARBAGE_KINDS } from '../garbage.mjs';
import { Scenario } from '../scenario.mjs';
import { eventually, now } from '../time.mjs';

/** After so many rounds, a missing PROTOCOL error is no coincidence. */
const MOST = 50;

export const garbage = {
  id: 'F24',
  title: 'garbage for replies',
  quick: false,
  slow: 2,
  async run(context) {
    const server = await context.server();
    const proxy = await context.proxy(server);
    const scenario = await Scenario.open(context, { server, through: proxy });
    // Each kind meets connections that were in order, and connections that are opened meanwhile.
    for (let like = 0; like < GARBAGE_KINDS; like++) {
      const [begin, end] = [() => proxy.set('garbage', { like }), () => proxy.set('pass')];
      if (!context.quick) await scenario.outage(`garbage ${like + 1} of ${GARBAGE_KINDS}`, { begin, end });
    }
    await scenario.outage('garbage of every kind', {
      begin: () => proxy.set('garbage'),
      lastMs: 500,
      end: () => proxy.set('pass'),
    });
    await scenario.stopTraffic();
    scenario.noteCodes();
    return scenario.finish();
  },
};

export const outOfStep = {
  id: 'F25',
  title: 'replies out of step: one twice, one left out',
  quick: true,
  async run(context) {
    const server = await context.server();
    const proxy = await context.proxy(server);
    // One reply too many on an idle connection costs no decision.
    const scenario = await Scenario.open(context, { server, through: proxy, disruptive: false });
    const from = now();
    // Until a check under `throw` was among those with a wrong reply.
    for (let i = 0; i < (context.quick ? 2 : 4) || (i < MOST && !scenario.hasFailedWith('PROTOCOL')(from)); i++) {
      for (const kind of ['repeat', 'drop']) {
        const links = [...proxy.links];
        const [put, gone] = [(link) => link.applied === proxy.setting, (link) => !proxy.links.has(link)];
        await scenario.outage(kind, {
          begin: () => proxy.set(kind),
          until: () => links.every((link) => put(link) || gone(link)),
          // Only connections that were in order get out of step; they stay so.
          end: () => proxy.set('pass'),
        });
        // A surplus reply on an idle connection answers no request, and leaves the connection in step.
        if (kind === 'drop') await eventually('connections out of step are closed', () => links.every(gone));
      }
    }
    await scenario.stopTraffic();
    scenario.must(scenario.failedWith('PROTOCOL') > 0, 'no check failed with PROTOCOL');
    scenario.noteCodes();
    return scenario.finish();
  },
};
