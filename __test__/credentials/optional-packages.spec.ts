// Which AWS packages are loaded, and when, and the error if one is missing. Each case runs in its own process.

import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import manifest from '../../package.json';
import { root } from '../support/consumer';
import { host } from '../support/platforms';

const KEY = "{ accessKeyId: 'AKIAIOSFODNN7EXAMPLE', secretAccessKey: 'secret' }";

/** Runs `script` with the package at `directory`, in an environment without AWS, and returns its printed JSON. */
function run(directory: string, script: string, env: Record<string, string> = {}) {
  const own = Object.entries(process.env).filter(([name]) => !/^AWS_|REDIS|ELASTICACHE/.test(name));
  const whole = `
    const { elastiCacheIam } = require(${JSON.stringify(directory)});
    const loaded = () => Object.keys(require.cache).filter((file) => /[\\\\/]node_modules[\\\\/]@(aws|smithy)/.test(file)).length;
    const failure = (promise) => promise.then(() => 'a token', ({ name, code, message }) => ({ name, code, message }));
    (async () => {${script}})().then((outcome) => console.log(JSON.stringify(outcome)));`;
  const printed = execFileSync(process.execPath, ['--eval', whole], {
    encoding: 'utf8',
    // Nor the AWS configuration in a developer's home folder.
    env: { ...Object.fromEntries(own), HOME: tmpdir(), AWS_EC2_METADATA_DISABLED: 'true', ...env },
  });
  return JSON.parse(printed);
}

test('no AWS package is loaded before the first token, and the chain only without given credentials', () => {
  const script = `
    const options = { cache: 'limits', username: 'limiter', region: 'eu-west-1' };
    const [given, chain] = [elastiCacheIam({ ...options, credentials: ${KEY} }), elastiCacheIam(options)];
    const counts = [loaded()];
    await given();
    counts.push(loaded(), Object.keys(require.cache).some((file) => file.includes('credential-provider-node')));
    await chain();
    counts.push(Object.keys(require.cache).some((file) => file.includes('credential-provider-node')));
    return counts;`;
  const env = { AWS_ACCESS_KEY_ID: 'AKIAIOSFODNN7EXAMPLE', AWS_SECRET_ACCESS_KEY: 'secret' };
  const [before, after, ...chain] = run(root, script, env);
  expect(before).toBe(0);
  expect(after).toBeGreaterThan(0);
  expect(chain).toEqual([false, true]);
});

test.each([
  [{ AWS_REGION: 'eu-west-1', AWS_DEFAULT_REGION: 'us-east-1' }, 'eu-west-1'],
  [{ AWS_REGION: '', AWS_DEFAULT_REGION: 'us-east-1' }, 'us-east-1'],
])('the region of %j is %s', (env, region) => {
  const script = `return elastiCacheIam({ cache: 'limits', username: 'limiter', credentials: ${KEY} })();`;
  expect(run(root, script, env)).toContain(`%2F${region}%2Felasticache%2Faws4_request`);
});

const expectedError = (...parts: string[]) => ({
  name: 'Error',
  code: 'ERR_RATE_LIMIT_CONFIG',
  message: expect.stringMatching(parts.join('.*')),
});

test('a missing region: the error says what to set', () => {
  const script = `return failure(elastiCacheIam({ cache: 'limits', username: 'limiter', credentials: ${KEY} })());`;
  expect(run(root, script)).toEqual(expectedError('options.region', 'AWS_REGION'));
  expect(run(root, script, { AWS_REGION: 'Dublin!' })).toEqual(expectedError('AWS_REGION'));
});

test('no credentials anywhere: the error says that the chain gave none', () => {
  const script = `return failure(elastiCacheIam({ cache: 'limits', username: 'limiter', region: 'eu-west-1' })());`;
  expect(run(root, script)).toEqual(expectedError('credential provider chain', 'CredentialsProviderError'));
});

describe('a copy of the package without the AWS packages', () => {
  let copy: string;
  beforeEach(() => {
    copy = mkdtempSync(join(tmpdir(), 'rate-limit-copy-'));
    for (const file of ['index.js', 'lib', 'package.json', `rate-limit.${host.name}.node`])
      cpSync(join(root, file), join(copy, file), { recursive: true });
  });
  afterEach(() => rmSync(copy, { recursive: true, force: true }));

  test.each([
    ['@smithy/signature-v4', `, credentials: ${KEY}`],
    ['@aws-sdk/credential-provider-node', ''],
  ])('names %s, and how to install it', (missing, credentials) => {
    const options = `{ cache: 'limits', username: 'limiter', region: 'eu-west-1'${credentials} }`;
    expect(run(copy, `return failure(elastiCacheIam(${options})());`)).toEqual(
      expectedError(missing, `npm install ${missing}`),
    );
  });
});

test('both are optional', () => {
  const names = ['@aws-sdk/credential-provider-node', '@smithy/signature-v4'];
  expect(Object.keys(manifest.peerDependencies)).toEqual(names);
  expect(manifest.peerDependenciesMeta).toEqual(Object.fromEntries(names.map((name) => [name, { optional: true }])));
  expect(manifest).not.toHaveProperty('dependencies');
});
