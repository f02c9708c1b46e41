// F24: what comes back is no answer. F25: what comes back answers another request.

import { GARBAGE_KINDS } from '../garbage.mjs';
import { Stage } from '../stage.mjs';
import { sleep } from '../time.mjs';

export const garbage = {
  id: 'F24',
  title: 'garbage for replies',
  quick: true,
  async run(context) {
    const server = await context.server();
    const proxy = await context.proxy(server);
    const stage = await Stage.open(context, { server, through: proxy });
    // Each kind meets connections that were in order, as well as those that are made meanwhile.
    for (let like = 0; like < GARBAGE_KINDS; like++) {
      const [begin, end] = [() => proxy.set('garbage', { like }), () => proxy.set('pass')];
      if (!context.quick) await stage.outage(`garbage ${like + 1} of ${GARBAGE_KINDS}`, { begin, lastMs: 200, end });
    }
    await stage.outage('garbage of every kind', {
      begin: () => proxy.set('garbage'),
      lastMs: context.quick ? 1000 : 2000,
      end: () => proxy.set('pass'),
    });
    await stage.quiet();
    stage.noteCodes();
    return stage.finish();
  },
};

export const outOfStep = {
  id: 'F25',
  title: 'replies out of step: one twice, one left out',
  quick: true,
  async run(context) {
    const server = await context.server();
    const proxy = await context.proxy(server);
    const stage = await Stage.open(context, { server, through: proxy });
    for (let i = 0; i < (context.quick ? 2 : 5); i++) {
      for (const kind of ['repeat', 'drop']) {
        const accepted = proxy.accepted;
        await stage.outage(kind, {
          begin: async () => {
            proxy.set(kind);
            await sleep(200);
            // Only connections that were in order are put out of step; they stay so.
            proxy.set('pass');
          },
          lastMs: 500,
          end: () => {},
        });
        // One too many that comes while no answer is due answers nobody, and leaves its connection in step.
        const replaced = kind === 'repeat' || proxy.accepted > accepted;
        stage.must(replaced, `${kind}: a connection that is out of step is still in use`);
      }
    }
    await stage.quiet();
    stage.must(stage.failedWith('PROTOCOL') > 0, 'nobody was told PROTOCOL');
    stage.noteCodes();
    // One reply too many, while none is due, costs nothing.
    return stage.finish({ bites: false });
  },
};
