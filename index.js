'use strict';

// The public API: promises, classes and argument checks, in the caller's realm. The path of a check:
//
//   lib/creators.js, lib/limiter.js          the public functions and the class
//   lib/validate.js, options.js, errors.js   arguments and options are checked; every error is created here
//   lib/lazy-limiter.js                      opened by the first request; turns answers into decisions and errors
//   lib/abi.js                               the numbers that Rust defines, and how to read an answer
//   lib/bridge.js                            a slot for each promise in flight; reads answers from the mailbox
//     src/napi/submit.rs                     Rust takes the request, and decides at once if it can
//     src/limiter/                           deny cache, circuit breaker, queue, fallback; then src/store/
//     src/napi/completion_queue.rs           collects answers and wakes JavaScript
//
// Beside it:
//
//   lib/native.js, elf.js    find the binary, and refuse a truncated one
//   lib/plans.js             the creators' plans and their limits
//   lib/events.js            listeners of anomalies and store states, and the log lines if there is none
//   lib/context.js           callbacks run in the asynchronous context that registered them
//   lib/http/                rate limit headers, and a check in front of a route handler
//   lib/metrics/             snapshot.js reads the counters; exports to Prometheus, OpenTelemetry and CloudWatch
//   lib/diagnostics/         the connection test, its report with troubleshooting steps, and its route
//   lib/credentials/         password functions, and IAM tokens of ElastiCache as passwords

const { RateLimitError } = require('./lib/errors.js');
const { RateLimiter } = require('./lib/limiter.js');
const {
  checkCreatorRateLimit,
  getRateLimitStatus,
  resetCreatorRateLimit,
  configure,
  getMetrics,
  onAnomaly,
  onStoreStateChange,
  close,
} = require('./lib/creators.js');
const { topCreators } = require('./lib/metrics/top-creators.js');
const { rateLimitHeaders } = require('./lib/http/headers.js');
const { withRateLimit } = require('./lib/http/with-rate-limit.js');
const { prometheusMetrics } = require('./lib/metrics/prometheus.js');
const { cloudWatchMetrics } = require('./lib/metrics/cloudwatch.js');
const { observeMetrics } = require('./lib/metrics/open-telemetry.js');
const { connectionRoute } = require('./lib/diagnostics/route.js');
const { testConnection } = require('./lib/diagnostics/test-connection.js');
const { elastiCacheIam } = require('./lib/credentials/elasticache-iam.js');

// One literal, so that `import { checkCreatorRateLimit } from '@huntaze/rate-limit'` finds the names.
/** @satisfies {typeof import('./index.d.ts')} */
module.exports = {
  checkCreatorRateLimit,
  getRateLimitStatus,
  resetCreatorRateLimit,
  configure,
  onAnomaly,
  onStoreStateChange,
  close,
  testConnection,
  connectionRoute,
  RateLimiter,
  RateLimitError,
  rateLimitHeaders,
  withRateLimit,
  getMetrics,
  prometheusMetrics,
  cloudWatchMetrics,
  observeMetrics,
  topCreators,
  elastiCacheIam,
};
