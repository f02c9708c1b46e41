// F9: connections end, each in another manner.

import { Scenario } from '../scenario.mjs';

export default {
  id: 'F9',
  title: 'connections killed, reset, half closed, replies truncated',
  quick: true,
  async run(context) {
    const server = await context.server();
    const proxy = await context.proxy(server);
    // The loss of an idle connection costs no decision.
    const scenario = await Scenario.open(context, { server, through: proxy, disruptive: false });
    const pass = () => proxy.set('pass');
    const ends = {
      'CLIENT KILL': () => server.killClients(),
      reset: () => proxy.reset(),
      'half close': () => proxy.halfClose(),
      'truncated reply': () => proxy.set('truncate'),
    };
    for (const [what, begin] of Object.entries(ends)) {
      const { accepted } = proxy;
      const links = [...proxy.links];
      const ended = () => links.every((link) => !proxy.links.has(link));
      await scenario.outage(what, { begin, until: ended, end: pass });
      scenario.must(proxy.accepted > accepted, `${what}: no new connection`);
    }
    return scenario.finish();
  },
};
