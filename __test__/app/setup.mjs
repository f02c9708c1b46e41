// Builds the application once with each bundler, and puts each where it must run by itself: outside the repository, beside
// a folder that is to be its whole PATH. While they build, a Redis is configured that must not be asked.

import { once } from 'node:events';
import { mkdirSync, mkdtempSync, realpathSync, symlinkSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildApp, placeApp } from '../../scripts/app.mjs';
import { chromium } from '../../scripts/chromium.mjs';
import teardown from './teardown.mjs';

export default async function setup() {
  process.env.CHROMIUM ||= chromium();
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'rate-limit-app-')));
  process.env.RATE_LIMIT_APPS = folder;
  try {
    mkdirSync(join(folder, 'bin'));
    symlinkSync(process.execPath, join(folder, 'bin', 'node'));
    const redis = await listener();
    const turbopack = await build('turbopack', redis.port, join(folder, 'turbopack'));
    const connections = redis.connections();
    const counted = await redis.countsOne();
    await redis.close();
    // Now nobody listens there.
    const webpack = await build('webpack', redis.port, join(folder, 'webpack'));
    const builds = { turbopack: { ...turbopack, connections, counted }, webpack };
    writeFileSync(join(folder, 'builds.json'), JSON.stringify(builds));
  } catch (error) {
    teardown();
    throw error;
  }
}

async function build(bundler, redisPort, folder) {
  const env = { ...withoutRedis(), REDIS_URL: `redis://127.0.0.1:${redisPort}` };
  const printed = await buildApp(bundler, env);
  placeApp(folder);
  return { printed };
}

/** What Jest and npm tell their children of this repository stays behind, and so does a Redis of the machine's. */
function withoutRedis() {
  const foreign = /^(npm_(package|lifecycle|command)|JEST_|NEXT_|REDIS|ELASTICACHE|RATE_LIMIT)/;
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !foreign.test(name)));
}

/** Accepts connections, counts them and never answers. */
async function listener() {
  const sockets = [];
  const server = createServer((socket) => sockets.push(socket.on('error', () => {})));
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address();
  return {
    port,
    connections: () => sockets.length,
    /** Whether it would have seen one. */
    async countsOne() {
      const before = sockets.length;
      const own = connect(port, '127.0.0.1');
      await once(server, 'connection');
      own.destroy();
      return sockets.length === before + 1;
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      await once(server.close(), 'close');
    },
  };
}
