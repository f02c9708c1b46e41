-- An exact sliding window in its usual form: a sorted set of admissions that is pruned, counted and extended.
--
-- KEYS[1]       the log of one id
-- ARGV[1..3]    limit, window in ms, a unique member
--
-- Reply: 1 allowed | 0 denied; ms until a slot frees. A denial is not recorded.

local limit, window = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - window)
if redis.call('ZCARD', KEYS[1]) < limit then
  redis.call('ZADD', KEYS[1], now, ARGV[3])
  redis.call('PEXPIRE', KEYS[1], window)
  return {1, 0}
end
local oldest = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
return {0, oldest[2] + window - now}
