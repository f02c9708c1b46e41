export { checkCreatorRateLimit, getRateLimitStatus, RateLimitError, type CreatorPlan } from '@huntaze/rate-limit';
