'use strict';

// The face: promises, classes and argument checks, in the caller's realm. One check's way through it:
//
//   lib/creators.js, lib/limiter.js   the public functions and the class
//   lib/validate.js, lib/options.js, lib/errors.js   what may come in, and the errors if not
//   lib/lazy-limiter.js     a limiter from its first request to its close; answers become decisions and errors
//   lib/bridge.js      slots and the mailbox; over there: src/node/limiter.rs, completions.rs, record.rs
//   lib/events.js   listeners, and the lines that are logged where there are none
//   lib/http/          what a route answers: the headers of a decision, and the check in front of a handler
//   lib/metrics/       what has been counted: snapshot.js reads it, the others write it for Prometheus, CloudWatch and
//                       OpenTelemetry
//   lib/diagnostics/    whether Redis can be reached, for people and for a route: advice, report, the test, the handlers
//   lib/credentials/   the function that gives a password, and the one that makes it an IAM token of ElastiCache
//   lib/native.js     finds the binary; lib/elf.js   refuses a part of one

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
