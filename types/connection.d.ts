// The connection test: whether Redis answers, and what to do if not.

import type { WebRequest, WebResponse } from './http.js';

/** The options of {@link testConnection}. */
export interface TestConnectionOptions {
  /** Whether the report names host, port and version. Use `false` unless the caller is an operator. Default: `true`. */
  readonly details?: boolean | undefined;
  /** Repeated in the report: 1 to 128 printable ASCII characters. Default: a UUID. */
  readonly correlationId?: string | undefined;
  /** The time for the whole test, in ms: 1 to 60,000. Default: 2000. */
  readonly timeoutMs?: number | undefined;
}

/** The server that was tested. Each field is `'hidden'` without `details`, and `'unknown'` if it is not known. */
export interface ConnectionPlace {
  readonly host: string;
  readonly port: string;
  readonly redisVersion: string;
}

/** Redis answered and kept what it was given. Durations are texts such as `'5ms'`, rounded up to a whole millisecond. */
export interface ConnectionSuccess {
  readonly success: true;
  readonly message: string;
  readonly ping: 'PONG';
  readonly pong: 'PONG';
  /** The value that was written and read back. */
  readonly testValue: string;
  /** ISO 8601. */
  readonly timestamp: string;
  readonly connection: ConnectionPlace;
  readonly tests: {
    readonly ping: { readonly result: 'PONG'; readonly duration: string };
    readonly set: { readonly key: string; readonly duration: string };
    readonly get: { readonly value: string; readonly duration: string };
    readonly delete: { readonly duration: string };
  };
  readonly performance: { readonly totalDuration: string };
  readonly meta: { readonly timestamp: string; readonly correlationId: string };
}

/** The test failed. Durations as in {@link ConnectionSuccess}. */
export interface ConnectionFailure {
  readonly success: false;
  /** For people. Contains no secret, and without `details` neither host nor port. */
  readonly error: string;
  /** `configuration`: nothing was sent. `connection`: Redis did not do what was asked. */
  readonly errorType: 'configuration' | 'connection';
  /**
   * Stable: `ERR_RATE_LIMIT_CONFIG`; or the code of a store error, such as `ECONNREFUSED`; or `UNKNOWN` if the test
   * itself failed: the log of the process has the error.
   */
  readonly code: string;
  readonly message: string;
  readonly timestamp: string;
  readonly connection: ConnectionPlace;
  readonly troubleshooting: {
    readonly possibleCauses: readonly string[];
    readonly nextSteps: readonly string[];
  };
  readonly performance: { readonly totalDuration: string };
  readonly meta: {
    readonly timestamp: string;
    readonly correlationId: string;
    /** Whether the problem may pass without a change. */
    readonly retryable: boolean;
  };
}

/** The report of {@link testConnection}; `success` says which. */
export type ConnectionReport = ConnectionSuccess | ConnectionFailure;

/**
 * Tests the creators' Redis: takes and gives back a slot as a check would, sends PING, and writes, reads and deletes a key of
 * its own (`{creator:}test:…`, which expires after a minute). The test bypasses the circuit breaker and uses a connection of the
 * checks, or a new one if there is none. It does not count as a check: {@link configure} may still follow.
 *
 * Resolves with the report in every case. Rejects only for an unusable option, with a TypeError (`ERR_INVALID_ARG_TYPE`,
 * `ERR_INVALID_ARG_VALUE`) or RangeError (`ERR_OUT_OF_RANGE`).
 *
 * @example
 * const report = await testConnection();
 * if (!report.success) console.error(report.code, report.troubleshooting.nextSteps);
 */
export declare function testConnection(options?: TestConnectionOptions): Promise<ConnectionReport>;

/** The options of {@link connectionRoute}. */
export interface ConnectionRouteOptions extends Pick<TestConnectionOptions, 'timeoutMs'> {
  /**
   * A request with `Authorization: Bearer` and this token gets host, port and version: 1 to 16,384 printable ASCII characters
   * without spaces. Default, also for an empty text: no request gets them.
   */
  readonly operatorToken?: string | undefined;
}

/**
 * The handlers of a route that tests the connection. Status 200 if Redis answers, 503 with `Retry-After: 60` if it does not, 500
 * for a configuration that cannot work. Each response has `X-Correlation-Id` (the caller's, if it is usable), `X-Duration-Ms` and
 * `Cache-Control: no-store`. Requests without the token share one test a second.
 *
 * @throws TypeError or RangeError that names the option and what it takes. Without a global `Response` the handlers fail with the
 * code `ERR_RATE_LIMIT_PLATFORM`.
 * @example
 * export const { GET, OPTIONS } = connectionRoute({ operatorToken: process.env.RATE_LIMIT_OPERATOR_TOKEN });
 */
export declare function connectionRoute(options?: ConnectionRouteOptions): {
  GET(request: WebRequest): Promise<WebResponse>;
  OPTIONS(): WebResponse;
};
