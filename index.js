'use strict';

// The face: promises, classes and argument checks, in the caller's realm. One check's way through it:
//
//   face/creators.js, face/limiter.js   the public functions and the class
//   face/arguments.js, face/options.js, face/redis-options.js, face/errors.js   what may come in, and the errors if not
//   face/session.js     a limiter from its first request to its close; answers become decisions and errors
//   face/border.js      slots and the mailbox; over there: src/node/limiter.rs, completions.rs, record.rs
//   face/anomalies.js, face/store-state.js   listeners, and the lines that are logged where there are none
//   face/http/          what a route answers: the headers of a decision, and the check in front of a handler
//   face/metrics/       what has been counted: snapshot.js reads it, the others write it for Prometheus, CloudWatch and
//                       OpenTelemetry
//   face/connection/    whether Redis can be reached, for people and for a route: advice, report, the test, the handlers
//   face/password.js, face/iam/   the function that gives a password, and the one that makes it an IAM token of ElastiCache
//   face/binding.js     finds the binary; face/elf.js   refuses a part of one

const { RateLimitError } = require('./face/errors.js');
const { RateLimiter } = require('./face/limiter.js');
const {
  checkCreatorRateLimit,
  getRateLimitStatus,
  resetCreatorRateLimit,
  configure,
  getMetrics,
  onAnomaly,
  onStoreStateChange,
  close,
} = require('./face/creators.js');
const { topCreators } = require('./face/metrics/top-creators.js');
const { rateLimitHeaders } = require('./face/http/headers.js');
const { withRateLimit } = require('./face/http/with-rate-limit.js');
const { prometheusMetrics } = require('./face/metrics/prometheus.js');
const { cloudWatchMetrics } = require('./face/metrics/cloudwatch.js');
const { observeMetrics } = require('./face/metrics/open-telemetry.js');
const { connectionRoute } = require('./face/connection/route.js');
const { testConnection } = require('./face/connection/test-connection.js');
const { elastiCacheIam } = require('./face/iam/elasticache.js');

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
