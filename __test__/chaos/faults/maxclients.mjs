// F16: the server has no room for one more client.

import { Stage } from '../scenario.mjs';

export default {
  id: 'F16',
  title: 'maxclients reached',
  quick: false,
  async run(context) {
    const server = await context.server();
    const stage = await Stage.open(context, { server });
    await stage.outage('all have to come again, and none is let in', {
      begin: async () => {
        // The suite's own connection is the one.
        await server.config('maxclients', 1);
        await server.killClients();
      },
      until: stage.told('MAXCLIENTS'),
      end: () => server.config('maxclients', 10_000),
    });
    await stage.quiet();
    stage.must(stage.failedWith('MAXCLIENTS') > 0, 'nobody was told MAXCLIENTS');
    return stage.finish();
  },
};
