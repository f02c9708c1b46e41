// F12: the server stops, completely or only for its clients.

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
      // It blocks every client, the suite's included: it ends by itself, as the reply to PING shows. If the machine ran
      // no client meanwhile, the pause proves nothing.
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
