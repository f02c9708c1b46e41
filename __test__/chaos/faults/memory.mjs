// F15: a server out of memory refuses writes, and one that evicts loses quotas.

import { connect } from 'node:net';
import { admissions, byIdOf, countUpTo } from '../history.mjs';
import { Scenario } from '../scenario.mjs';
import { eventually, now } from '../time.mjs';

export const full = {
  id: 'F15a',
  title: 'OOM: writes refused',
  quick: true,
  async run(context) {
    const server = await context.server();
    const scenario = await Scenario.open(context, { server });
    const [from, to] = await scenario.outage('maxmemory reached', {
      begin: () => server.config('maxmemory', '1'),
      lastMs: context.quick ? 300 : 1000,
      until: scenario.hasFailedWith('OOM'),
      end: () => server.config('maxmemory', '0'),
    });
    await scenario.stopTraffic();
    scenario.must(scenario.failedWith('OOM') > 0, 'no check failed with OOM');
    const meanwhile = scenario.between(from, to);
    // A full log denies without a write: the breaker has no reason to open.
    const denied = meanwhile.filter(({ outcome, source }) => outcome === 'denied' && source === 'redis').length;
    scenario.note(`meanwhile ${scenario.share(meanwhile)}; ${denied} denials by Redis`);
    // A script that has freed an expired log may continue to write: such an admission is recorded, and I1 judges it.
    scenario.note(`${admissions(meanwhile, 'redis').length} admissions by Redis`);
    return scenario.finish();
  },
};

export const evicted = {
  id: 'F15b',
  title: 'logs evicted under memory pressure',
  quick: false,
  async run(context) {
    const server = await context.server({ options: ['--notify-keyspace-events', 'Ee'] });
    const evictions = await listen(context, server);
    // Few ids, so that the ids in constant use are evicted as well.
    const scenario = await Scenario.open(context, { server, streams: { cold: 40 }, disruptive: false });
    // The default of ElastiCache. Keys without a TTL stay, so that there is always memory pressure.
    await server.config('maxmemory-policy', 'volatile-lru');
    await scenario.outage('pressure', {
      begin: async () => {
        const { used_memory: used } = await server.info('memory');
        await server.config('maxmemory', Number(used) + 2 ** 20);
        for (let i = 0; i < 40; i++) {
          await server.send('SET', `filler:${i}`, 'x'.repeat(30_000)).catch(() => {});
        }
      },
      lastMs: 1000,
      until: () => evictions.size > 0,
      end: async () => {
        await server.config('maxmemory', '0');
      },
    });
    await scenario.stopTraffic();
    const { above, violations } = overBy(scenario, evictions);
    scenario.must(evictions.size > 0, 'no log was evicted');
    for (const text of violations.slice(0, 2)) scenario.must(false, text);
    const logs = [...evictions.values()].reduce((sum, moments) => sum + moments.length, 0);
    scenario.note(`${logs} logs evicted; ${above} admissions above due, at most one limit a log`);
    // An evicted log keeps no promised retry time; I1 is judged above, by the evictions within each window.
    return scenario.finish({ except: ['I1', 'I22'] });
  },
};

/** The moments at which the log of each id was evicted. */
async function listen(context, server) {
  const evictions = new Map();
  let listening = false;
  const socket = connect({ port: server.port, host: server.host });
  context.keep(socket, () => socket.destroy());
  socket.write(`AUTH ${context.password}\r\nSUBSCRIBE __keyevent@0__:evicted\r\n`);
  let line = '';
  socket.setEncoding('utf8').on('data', (text) => {
    const lines = (line + text).split('\r\n');
    line = lines.pop();
    listening ||= lines.includes('subscribe');
    for (const [, limiter, id] of lines.map((text) => /^\{(\w+):(.+)\}$/.exec(text)).filter(Boolean)) {
      const key = `${limiter} ${id}`;
      evictions.set(key, [...(evictions.get(key) ?? []), now()]);
    }
  });
  await eventually('the server notifies of evictions', () => listening);
  return evictions;
}

/**
 * The number of admissions above the limit in their window, and the violations: more than its evictions account for.
 */
function overBy({ context, history, limiters, wallOffset }, evictions) {
  const [{ windowMs }] = Object.values(limiters);
  // The notification arrives a moment after the eviction, and later if the suite or the server waited for a processor.
  const NOTICE_MS = 50;
  const momentsOf = (key) => {
    const evictedAt = evictions.get(key) ?? [];
    return evictedAt.map((at) => [at - NOTICE_MS - context.delays.within(at - 2 * windowMs, at), at]);
  };
  let above = 0;
  const violations = [];
  for (const [key, list] of byIdOf(admissions(history, 'redis'))) {
    const { limit } = limiters[list[0].limiter];
    const moments = Float64Array.from(list.map(({ moment }) => moment - wallOffset)).sort();
    const forgotten = momentsOf(key);
    for (const at of moments) {
      const count = countUpTo(moments, at) - countUpTo(moments, at - windowMs);
      const times = forgotten.filter(([earliest, latest]) => earliest <= at && latest > at - windowMs).length;
      if (count > limit) above++;
      if (count > limit * (1 + times))
        violations.push(`I1: ${count} of ${limit} in a window with ${times} evictions: ${key}`);
    }
  }
  return { above, violations };
}
