// npm run test:platforms: the binaries of the Linux platforms and the supported versions of Node.js. npm installs each
// binary from a tarball, and a Node.js of its platform loads it, under emulation if necessary.
// __test__/platforms/check.cjs runs in each. The last line is the count of tests.
//
//   npm run test:platforms                               everything that this machine can run
//   npm run test:platforms -- linux-arm64-musl 22        platforms, and release lines with this machine's binary
//   npm run test:platforms -- --no-build linux-x64-musl  with the existing binary in npm/
//   npm run test:platforms -- --memory win32-x64-msvc    without a redis-server, which Windows does not have

import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { nodeOfPlatform, nodeOfVersion, nodePlatforms, nodeVersions } from './node-binaries.mjs';
import { packInto } from './pack.mjs';
import { addonFile, hostPlatform, platformNamed, platforms } from './platforms.mjs';
import { addonPath, prebuild } from './prebuild.mjs';
import { redisServer } from './redis-server.mjs';
import { addResults } from './test-results.mjs';
import { Failure, runIfMain, root, run, tee } from './run.mjs';

const require = createRequire(import.meta.url);
const { name: packageName } = require('../package.json');
const certificate = (file) => join(root, '__test__', 'fixtures', 'localhost', file);

// Under emulation, at a load of 50 on two cores, it took five minutes: a check that takes far longer has failed.
const TIMEOUT_MS = 1_800_000;

/**
 * Runs the check on the named platforms and release lines of Node.js, or on all that this machine can run. Accepts the
 * options above, too.
 */
export async function testPlatforms(...args) {
  const { names, builds, onRedis } = options(args);
  const runs = runsOf(names);
  for (const { name } of names.length > 0 ? [] : platforms.filter(({ npm }) => npm.os[0] === 'linux'))
    if (!nodePlatforms().includes(name)) console.log(`left out: ${name}, which needs an x64 machine with Debian here`);
  // All binaries are packed, so that npm has to choose among them.
  const built = [...new Set(runs.map(({ platform }) => platform))];
  const packed = platforms.filter((platform) => built.includes(platform) || existsSync(addonPath(platform)));
  if (builds) timed(`building ${built.map(({ name }) => name).join(', ')}`, () => prebuild(...built));
  // Missing programs of this machine are reported before any run.
  if (onRedis) redisServer();
  for (const one of runs) one.node = one.start();
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'platforms-')));
  const redis = onRedis ? await startRedis(folder) : undefined;
  const failed = [];
  try {
    const applicationOf = applicationFactory(folder, packed);
    for (const one of runs) {
      if (!(await check(one, applicationOf(one.platform), redis))) failed.push(one.name);
    }
  } finally {
    await redis?.server.kill();
    rmSync(folder, { recursive: true, force: true });
  }
  if (failed.length > 0) throw new Failure(`failed on ${failed.join(', ')}`);
}

function options(args) {
  const names = args.filter((arg) => !arg.startsWith('--'));
  const unknown = args.filter((arg) => arg.startsWith('--') && arg !== '--no-build' && arg !== '--memory');
  if (unknown.length > 0) throw new Failure(`unknown option ${unknown}; there are --no-build and --memory`);
  return { names, builds: !args.includes('--no-build'), onRedis: !args.includes('--memory') };
}

/** The runs: a platform's binary, and the command that starts its Node.js. */
function runsOf(names) {
  const [here, versions] = [nodePlatforms(), nodeVersions()];
  return (names.length > 0 ? names : [...here, ...versions]).map((name) => {
    if (here.includes(name)) return { name, platform: platformNamed(name), start: () => nodeOfPlatform(name) };
    if (versions.includes(name))
      return { name: `Node.js ${name}`, version: name, platform: hostPlatform(), start: () => nodeOfVersion(name) };
    throw new Failure(`${name} cannot be run on this machine, which can run ${[...here, ...versions].join(', ')}`);
  });
}

/**
 * Packs, and returns a function that creates a platform's folder, once each: an application as a user has it, with the
 * package and the one binary that npm chooses; in `copy` the same again; and in `every` the package with the binaries
 * of all platforms.
 */
function applicationFactory(folder, packed) {
  const tarballs = packInto(join(folder, 'tarballs'), packed);
  const tarballOf = new Map(packed.map((platform, i) => [platform, tarballs[i + 1]]));
  const created = new Map();
  return (platform) => {
    if (created.has(platform)) return created.get(platform);
    const app = join(folder, platform.name);
    cpSync(join(root, '__test__', 'platforms'), app, { recursive: true });
    const dependencies = { [packageName]: `file:${tarballs[0]}` };
    const optionalDependencies = Object.fromEntries(
      packed.map(({ name }, i) => [`${packageName}-${name}`, `file:${tarballs[i + 1]}`]),
    );
    writeFileSync(join(app, 'package.json'), JSON.stringify({ private: true, dependencies, optionalDependencies }));
    const { os, cpu, libc = [] } = platform.npm;
    const kind = [`--os=${os}`, `--cpu=${cpu}`, ...libc.map((name) => `--libc=${name}`)];
    run('npm', ['install', ...kind, '--offline', '--ignore-scripts', '--no-audit', '--no-fund'], { cwd: app });
    const chosen = readdirSync(join(app, 'node_modules', '@huntaze')).sort();
    if (chosen.join() !== `rate-limit,rate-limit-${platform.name}`)
      throw new Failure(`npm has installed ${chosen.join(', ')} for ${platform.name}`);
    cpSync(join(app, 'node_modules'), join(app, 'copy', 'node_modules'), { recursive: true });
    cpSync(join(app, 'node_modules', packageName), join(app, 'every', 'node_modules', packageName), {
      recursive: true,
    });
    for (const other of platforms.filter((one) => !packed.includes(one))) {
      const into = join(app, 'every', 'node_modules', `${packageName}-${other.name}`);
      cpSync(join(root, 'npm', other.name), into, { recursive: true });
      writeFileSync(join(into, addonFile(other)), 'is of no use on this machine');
    }
    for (const [{ name }, tarball] of tarballOf) {
      const into = join(app, 'every', 'node_modules', `${packageName}-${name}`);
      mkdirSync(into, { recursive: true });
      // A relative path, because the tar of Git for Windows takes a drive letter for a host name.
      run('tar', ['-xzf', relative(into, tarball), '--strip-components=1'], { cwd: into });
    }
    created.set(platform, app);
    return app;
  };
}

/** Runs the check and counts its properties. Returns whether all hold. */
async function check({ name, platform, version, node }, app, redis) {
  console.log(`\n${name}`);
  const startedAt = Date.now();
  const [command, ...before] = node;
  const env = {
    ...process.env,
    CHECK_PLATFORM: platform.name,
    CHECK_NODE: JSON.stringify(node),
    ...(version && { CHECK_VERSION: version }),
    ...redis?.variables,
  };
  const { code, text } = await tee(command, [...before, 'check.cjs'], { cwd: app, env, timeout: TIMEOUT_MS });
  const [, passed, failed] =
    /^(\d+) passed, (\d+) failed\n$/.exec(text.slice(text.trimEnd().lastIndexOf('\n') + 1)) ?? [];
  // Without a last line it has crashed, or a pending promise kept nothing alive.
  addResults(Number(passed ?? 0), Number(failed ?? 1));
  const holds = code === 0 && passed > 0 && failed === '0';
  if (!holds && failed === undefined) console.log(`${name} ended with ${code} and without a count`);
  console.log(`${name}: ${seconds(startedAt)}`);
  return holds;
}

/** A server of this machine, on loopback, which an emulated Node.js reaches as well: plain and over TLS. */
async function startRedis(folder) {
  const { Node } = require('../__test__/servers/node.cjs');
  const { freePorts } = require('../__test__/servers/ports.cjs');
  const [port, tlsPort] = await freePorts(2);
  const tls = ['--tls-cert-file', certificate('server.pem'), '--tls-key-file', certificate('server.key')];
  const others = ['--tls-port', tlsPort, '--tls-ca-cert-file', certificate('ca.pem'), '--tls-auth-clients', 'no'];
  const server = new Node({ port, folder, options: [...tls, ...others] });
  await server.start();
  const variables = { CHECK_REDIS_PORT: port, CHECK_REDIS_TLS_PORT: tlsPort, CHECK_REDIS_CA: certificate('ca.pem') };
  return { server, variables };
}

function timed(what, does) {
  const startedAt = Date.now();
  does();
  console.log(`${what}: ${seconds(startedAt)}`);
}

function seconds(since) {
  return `${((Date.now() - since) / 1000).toFixed(1)} s`;
}

await runIfMain(import.meta.url, testPlatforms);
