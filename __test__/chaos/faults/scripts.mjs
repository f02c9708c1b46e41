// F13: a script that does not end keeps the server. F14: the script cache is emptied, once and again and again.

import { Stage } from '../scenario.mjs';
import { eventually, now, sleep } from '../time.mjs';

export const busy = {
  id: 'F13',
  title: 'BUSY: a script that does not end',
  quick: false,
  async run(context) {
    const server = await context.server({ options: ['--busy-reply-threshold', '100'] });
    const stage = await Stage.open(context, { server });
    const busy = await server.connect();
    context.keep(busy, () => busy.close());
    await stage.outage('an endless script', {
      begin: async () => {
        busy.send('EVAL', 'while true do end', 0).catch(() => {});
        // A script that has not begun cannot be killed.
        const answer = () => server.send('PING').catch((error) => error.message);
        await eventually('the server is busy', async () => (await answer()).startsWith('BUSY'));
      },
      lastMs: 500,
      until: stage.told('BUSY'),
      end: () => server.send('SCRIPT', 'KILL'),
    });
    await stage.quiet();
    stage.must(stage.failedWith('BUSY') > 0, 'nobody was told BUSY');
    return stage.finish();
  },
};

export const flushed = {
  id: 'F14',
  title: 'scripts flushed, once and in a storm',
  quick: true,
  async run(context) {
    const server = await context.server();
    // Long enough that only a flush could keep a decision from being Redis's, and no slow moment of the machine. Nobody is to notice: the
    // script is sent again in the same check.
    const stage = await Stage.open(context, { server, quota: { timeoutMs: 20_000 }, disruptive: false });
    const from = now();
    await stage.outage('once', { begin: () => server.send('SCRIPT', 'FLUSH'), lastMs: 300 });
    let flushes = 0;
    await stage.outage('a storm', {
      begin: async () => {
        for (const end = now() + (context.quick ? 500 : 1500); now() < end; flushes++) {
          await server.send('SCRIPT', 'FLUSH');
          await sleep(2);
        }
      },
    });
    await stage.quiet();
    const other = stage.between(from).filter(({ source }) => source !== 'redis' && source !== 'deny-cache');
    stage.must(other.length === 0, `${other.length} decided by ${other[0]?.source}: a flush is no outage`);
    stage.note(`${flushes} flushes in the storm`);
    return stage.finish();
  },
};
