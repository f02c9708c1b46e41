// F12: the server stands still, all of it or only for its clients.

import { Scenario } from '../scenario.mjs';
import { now } from '../time.mjs';

export default {
  id: 'F12',
  title: 'server paused: SIGSTOP, CLIENT PAUSE',
  quick: false,
  async run(context) {
    const server = await context.server();
    const scenario = await Scenario.open(context, { server });
    const lastMs = context.quick ? 600 : 1500;
    await scenario.outage('SIGSTOP', { begin: () => server.freeze(), lastMs, end: () => server.thaw() });
    await scenario.outage('CLIENT PAUSE', {
      // It keeps everybody waiting, who would end it too: it ends by itself, as the answer to PING shows. A machine that ran nobody
      // meanwhile has shown nothing.
      begin: async () => {
        const since = now();
        do {
          await server.send('CLIENT', 'PAUSE', lastMs);
          await server.send('PING');
        } while (!scenario.decidedWithoutRedis(since));
      },
    });
    return scenario.finish();
  },
};
