// F7: a restarted server reads its data: it accepts connections and answers LOADING.

import { Scenario } from '../scenario.mjs';
import { eventually } from '../time.mjs';

const KEYS = 3000;
/** Loading takes a minute, until the delay is removed; clients are served in between. */
const SLOWLY = ['--key-load-delay', '20000', '--loading-process-events-interval-bytes', '1024'];

export default {
  id: 'F7',
  title: 'LOADING: a restart with data to read',
  quick: false,
  async run(context) {
    const server = await context.server();
    const fill = `for i = 1, ${KEYS} do redis.call('SET', 'filler:' .. i, string.rep('x', 200)) end`;
    await server.send('EVAL', fill, 0);
    const scenario = await Scenario.open(context, { server });
    await scenario.outage('shut down and started', {
      begin: async () => {
        await server.shutDown();
        await server.restart({ options: SLOWLY, loading: true });
        const { loading } = await server.info('persistence');
        scenario.must(loading === '1', 'the server was not LOADING');
      },
      until: scenario.hasFailedWith('LOADING'),
      end: async () => {
        await server.config('key-load-delay', 0);
        await eventually('it is loaded', async () => (await server.info('persistence')).loading === '0');
      },
    });
    await scenario.stopTraffic();
    scenario.must(scenario.failedWith('LOADING') > 0, 'no check failed with LOADING');
    return scenario.finish();
  },
};
