import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const { troubleshootingFor, BY_REASON, CODES } = require('../../lib/diagnostics/troubleshooting.js');

const ROOT = join(__dirname, '../..');
const HIDDEN = { host: 'the configured host', port: 'its port', address: 'the configured host and port' };

/** The codes of the store, read from its source. */
const storeCodes = new Set(
  [...readFileSync(join(ROOT, 'src/store/error.rs'), 'utf8').matchAll(/^ +\w+ = "([A-Z]+)",$/gm)].map(
    (match) => match[1]!,
  ),
);

test('every code has troubleshooting texts, and no other name has', () => {
  expect(storeCodes.size).toBeGreaterThan(10);
  expect([...CODES].sort()).toEqual(['ERR_RATE_LIMIT_CONFIG', ...storeCodes].sort());
});

test('every reason has troubleshooting texts, and no other name has', () => {
  const reasons = [...readFileSync(join(ROOT, 'src/store/error.rs'), 'utf8').matchAll(/=> "([a-z-]+)"/g)];
  expect(Object.keys(BY_REASON).sort()).toEqual(reasons.map((match) => match[1]!).sort());
});

test('a reason takes precedence over its code, and an unknown reason is ignored', () => {
  expect(troubleshootingFor('PROTOCOL', 'database')).toBe(BY_REASON.database);
  expect(troubleshootingFor('PROTOCOL', '')).toBe(troubleshootingFor('PROTOCOL'));
  expect(troubleshootingFor('PROTOCOL', 'constructor')).toBe(troubleshootingFor('PROTOCOL'));
});

const advised = [...CODES, 'UNKNOWN', ...Object.keys(BY_REASON)];
test.each<string>(advised)('%s: a meaning, causes and steps, each a sentence', (code) => {
  const { meaning, causes, steps, retryable } = troubleshootingFor(code, code);
  expect(typeof retryable).toBe('boolean');
  expect(causes.length).toBeGreaterThan(0);
  expect(steps(HIDDEN).length).toBeGreaterThan(0);
  for (const sentence of [meaning, ...causes, ...steps(HIDDEN)]) {
    expect(sentence).toMatch(/^\S.{10,}[.?]$/);
    expect(sentence).not.toMatch(/undefined|\[object/);
  }
});

test('an inherited property of an object is no code', () => {
  expect(troubleshootingFor('constructor')).toBe(troubleshootingFor('UNKNOWN'));
});

test('every variable that a text names is one that the package reads', () => {
  const { constants } = require('../../lib/native.js');
  const texts: string[] = CODES.flatMap((code: string) => [
    ...troubleshootingFor(code).causes,
    ...troubleshootingFor(code).steps(HIDDEN),
  ]);
  const named = texts.join('\n').match(/\b(ELASTICACHE_REDIS|REDIS|NODE_EXTRA)_[A-Z_]+\b/g)!;
  for (const name of named) expect(constants.variables).toContain(name);
});
