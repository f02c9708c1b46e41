// Builds the application once with each bundler and copies each build out of the repository, where it must run by
// itself, next to a folder that is its whole PATH. During the builds a Redis is configured that must not be contacted.

import { once } from 'node:events';
import { mkdirSync, mkdtempSync, realpathSync, symlinkSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildApp, copyBuild } from '../../scripts/example-app.mjs';
import { chromium } from '../../scripts/chromium.mjs';
import teardown from './teardown.mjs';

export default async function setup() {
  process.env.CHROMIUM ||= chromium();
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'rate-limit-app-')));
  process.env.RATE_LIMIT_APPS = folder;
  try {
    mkdirSync(join(folder, 'bin'));
    symlinkSync(process.execPath, join(folder, 'bin', 'node'));
    const redis = await countingServer();
    const turbopack = await build('turbopack', redis.port, join(folder, 'turbopack'));
    const connections = redis.connections();
    const counted = await redis.countsConnection();
    await redis.close();
    // From now on the port is closed.
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
  copyBuild(folder);
  return { printed };
}

/**
 * The environment without the variables that npm and Jest set for their children, and without a Redis of this machine.
 */
function withoutRedis() {
  const excluded = /^(npm_(package|lifecycle|command)|JEST_|NEXT_|REDIS|ELASTICACHE|RATE_LIMIT)/;
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !excluded.test(name)));
}

/** Accepts connections, counts them and never answers. */
async function countingServer() {
  const sockets = [];
  const server = createServer((socket) => sockets.push(socket.on('error', () => {})));
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address();
  return {
    port,
    connections: () => sockets.length,
    /** Makes a connection, and returns whether it was counted. */
    async countsConnection() {
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
