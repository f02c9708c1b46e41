import type { ConnectionReport, TestConnectionOptions } from '@huntaze/rate-limit';

/** The result of one connection test, as the native module returns it. */
export interface NativeResult {
  readonly host?: string;
  readonly port?: number;
  readonly version?: string | undefined;
  readonly key?: string;
  readonly value?: string;
  readonly pingMs?: number;
  readonly setMs?: number;
  readonly getMs?: number;
  readonly deleteMs?: number;
  readonly error?: { readonly code: string; readonly message: string } | undefined;
}

const { createTester } = require('../../lib/diagnostics/test-connection.js');

export const HOST = 'zaunkoenig.finken.euw1.cache.amazonaws.com';
export const PORT = 47_113;
export const VERSION = '7.1.987';

export const success: NativeResult = {
  host: HOST,
  port: PORT,
  version: VERSION,
  key: '{creator:}test:1',
  value: 'value-1',
  pingMs: 0.2,
  setMs: 1,
  getMs: 1.01,
  deleteMs: 4.9,
};

/** `testConnection` with a fixed outcome: a native result, or an error to reject with. */
export function testConnectionWith(
  outcome: NativeResult | Error,
): (options?: TestConnectionOptions) => Promise<ConnectionReport> {
  return createTester(async () => {
    if (outcome instanceof Error) throw outcome;
    return outcome;
  });
}

export function failure(code: string, message = `no answer from ${HOST}:${PORT}, a Redis ${VERSION}`): NativeResult {
  return { host: HOST, port: PORT, version: VERSION, error: { code, message } };
}

export function codedError(code: string, message: string): Error {
  return Object.assign(new Error(message), { code });
}
