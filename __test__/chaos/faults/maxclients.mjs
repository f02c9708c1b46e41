// F16: the server accepts no further client.

import { Scenario } from '../scenario.mjs';

export default {
  id: 'F16',
  title: 'maxclients reached',
  quick: false,
  async run(context) {
    const server = await context.server();
    const scenario = await Scenario.open(context, { server });
    await scenario.outage('all connections are closed, and none is accepted', {
      begin: async () => {
        // The suite's own connection is the only one.
        await server.config('maxclients', 1);
        await server.killClients();
      },
      until: scenario.hasFailedWith('MAXCLIENTS'),
      end: () => server.config('maxclients', 10_000),
    });
    await scenario.stopTraffic();
    scenario.must(scenario.failedWith('MAXCLIENTS') > 0, 'no check failed with MAXCLIENTS');
    return scenario.finish();
  },
};
