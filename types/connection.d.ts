// Whether the way to Redis works, and what to do where it does not.

import type { WebRequest, WebResponse } from './http.js';

/** What `testConnection` may be asked for. */
export interface TestConnectionOptions {
  /** Whether the report names host, port and version; `true` when left out. For a stranger, `false`. */
  readonly details?: boolean | undefined;
  /** Told again in the report: 1 to 128 printable ASCII characters; a UUID when left out. */
  readonly correlationId?: string | undefined;
  /** The whole test is over by then, in ms: 1 to 60,000; 2000 when left out. */
  readonly timeoutMs?: number | undefined;
}

/** Where the test went. `'hidden'` in place of each without `details`, `'unknown'` where nothing is known. */
export interface ConnectionPlace {
  readonly host: string;
  readonly port: string;
  readonly redisVersion: string;
}

/** Durations are texts such as `'5ms'`, rounded up to a whole millisecond. */
export interface ConnectionSuccess {
  readonly success: true;
  readonly message: string;
  readonly ping: 'PONG';
  readonly pong: 'PONG';
  /** What was written and read back. */
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

export interface ConnectionFailure {
  readonly success: false;
  /** For people; holds no secret, and without `details` no place. */
  readonly error: string;
  /** `configuration`: nothing was tried. `connection`: Redis did not do as asked. */
  readonly errorType: 'configuration' | 'connection';
  /**
   * Stable: `ERR_RATE_LIMIT_CONFIG`; or that of a store error, such as `ECONNREFUSED`; or `UNKNOWN` where the test
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
    /** Whether it may mend itself. */
    readonly retryable: boolean;
  };
}

export type ConnectionReport = ConnectionSuccess | ConnectionFailure;

/**
 * Does on the creators' Redis what a check does, asks it for a PING, and writes, reads and deletes a key of its own
 * (`{creator:}test:…`, gone by itself after a minute), on a connection that the checks use, past the breaker; where there is
 * none, on one that is made for this. It is no check: {@link configure} may still follow. Resolves with the report in every
 * case; rejects with a TypeError (`ERR_INVALID_ARG_TYPE`, `ERR_INVALID_ARG_VALUE`) or RangeError (`ERR_OUT_OF_RANGE`) for an
 * unusable option alone.
 *
 * @example
 * const report = await testConnection();
 * if (!report.success) console.error(report.code, report.troubleshooting.nextSteps);
 */
export declare function testConnection(options?: TestConnectionOptions): Promise<ConnectionReport>;

/** How the route of {@link connectionRoute} knows an operator. */
export interface ConnectionRouteOptions extends Pick<TestConnectionOptions, 'timeoutMs'> {
  /**
   * Who sends it as `Authorization: Bearer …` is told host, port and version: printable ASCII characters without spaces, 16,384
   * at most. Left out or empty: nobody is.
   */
  readonly operatorToken?: string | undefined;
}

/**
 * The handlers of a route that tests the connection: 200, 503 with `Retry-After: 60` where Redis does not answer, 500 for
 * a configuration that cannot work; with `X-Correlation-Id` (the caller's, where it is usable), `X-Duration-Ms` and
 * `Cache-Control: no-store`. Those without the token share one trial a second.
 *
 * @example
 * export const { GET, OPTIONS } = connectionRoute({ operatorToken: process.env.RATE_LIMIT_OPERATOR_TOKEN });
 */
export declare function connectionRoute(options?: ConnectionRouteOptions): {
  GET(request: WebRequest): Promise<WebResponse>;
  OPTIONS(): WebResponse;
};
