'use strict';

const { RateLimitError } = require('./face/errors.js');
const { RateLimiter } = require('./face/limiter.js');
const {
  checkCreatorRateLimit,
  getRateLimitStatus,
  resetCreatorRateLimit,
  configure,
  onAnomaly,
  close,
} = require('./face/creators.js');

// One literal, so that `import { checkCreatorRateLimit } from '@huntaze/rate-limit'` finds the names.
module.exports = {
  checkCreatorRateLimit,
  getRateLimitStatus,
  resetCreatorRateLimit,
  configure,
  onAnomaly,
  close,
  RateLimiter,
  RateLimitError,
};
