// F10: no reply arrives, on established connections and on new ones.

import { Scenario } from '../scenario.mjs';
import { now } from '../time.mjs';

export default {
  id: 'F10',
  title: 'black hole: established, and at connect',
  quick: true,
  async run(context) {
    const server = await context.server();
    const proxy = await context.proxy(server);
    const scenario = await Scenario.open(context, { server, through: proxy });
    const holes = {
      'established connections go silent': () => proxy.set('black-hole'),
      'new connections get no reply': () => {
        proxy.set('no-reply');
        proxy.reset();
      },
    };
    for (const [what, begin] of Object.entries(holes)) {
      await scenario.outage(what, {
        begin: async () => {
          begin();
          await scenario.breakersOpen(now());
          // Everything the clients had sent has arrived, and was read.
          await proxy.drained();
          proxy.asked = 0;
        },
        lastMs: context.quick ? 500 : 2000,
        end: () => {
          // I18: an open breaker sends no user traffic.
          scenario.must(
            proxy.asked === 0,
            `I18: ${what}: ${proxy.asked} packets with checks although no server answers`,
          );
          proxy.set('pass');
        },
      });
    }
    return scenario.finish();
  },
};
