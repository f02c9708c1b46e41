-- Decides a batch of requests, each exactly as the pure log does (src/quota/history.rs), in one atomic step.
--
-- KEYS[i]            the log of request i: a list of Unix ms, newest first; while its id is being denied, the head of
--                    the list is a tally "denials:opened:reported" (src/quota/anomaly.rs)
-- ARGV[1..3]         window, anomaly window (0: no anomalies), TTL slack; all in ms
-- ARGV[3i+1..3i+3]   request i: op ("check", "limit", "status", "reset"), limit, anomaly threshold
--
-- Reply: five values a request: 1 allowed | 0 denied | -1 failed; remaining; reset (Unix ms); retry after (ms);
-- requests counted if this one is an anomaly, else 0. When failed, the second value is the server's error.
--
-- A log that is not full costs two commands, whatever the limit: LPUSH gives the length, so nothing is pruned until
-- the list holds more than `limit` entries, expired or not.

local window, anomaly_window, slack = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])

-- Read once: TIME moves on while a script runs.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- How many of the `length` admissions behind the first `skip` elements are later than `moment`. The list is sorted, so
-- this gallops in from the oldest (usually one look), then halves.
local function later_than(key, moment, skip, length)
  local function later(i) return tonumber(redis.call('LINDEX', key, skip + i)) > moment end
  local low, high, step = 0, length, 1 -- all before `low` are later, none from `high` on is
  while low < high do
    local i = math.max(low, high - step)
    if later(i) then low = i + 1 break end
    high, step = i, step * 2
  end
  while low < high do
    local i = math.floor((low + high) / 2)
    if later(i) then low = i + 1 else high = i end
  end
  return low
end

-- The key lives a window and at most one slack past its newest admission. The TTL is set anew only when that admission
-- enters another stretch of `slack` ms: most checks skip the command, and no log expires while it counts.
local function keep(key, previous, newest)
  if not previous or math.floor(previous / slack) ~= math.floor(newest / slack) then
    redis.call('PEXPIRE', key, newest - now + window + slack)
  end
end

-- The common case: a log without a tally and not full. Returns nil, the list as it was, when it is not so common.
local function admit(key, limit, head)
  local previous = tonumber(head)
  if head and not previous then return nil end
  -- After a clock step back, the newest's moment: the list stays sorted, stricter than the clock and never looser.
  local stamp = math.max(now, previous or 0)
  if redis.call('LPUSH', key, stamp) <= limit then
    keep(key, previous, stamp)
    return {1, 0, stamp + window, 0, 0}
  end
  redis.call('LPOP', key)
  return nil
end

-- The tally at the head of a list, if there is one.
local function tally(head)
  if not head or tonumber(head) then return nil end
  local denied, opened, reported = string.match(head, '^(%d+):(%d+):([01])$')
  if not denied then error('WRONGTYPE the key holds something else than a log', 0) end
  return tonumber(denied), tonumber(opened), reported == '1'
end

local function decide(key, limit, threshold, head)
  local denied, opened, reported = tally(head)
  local skip = opened and 1 or 0
  if not opened or opened + anomaly_window <= now then denied, opened, reported = 0, nil, false end

  local length = redis.call('LLEN', key) - skip
  local live = later_than(key, now - window, skip, length)
  local previous = live > 0 and tonumber(redis.call('LINDEX', key, skip)) or nil
  local stamp = math.max(now, previous or 0)
  local allowed = live < limit
  local retry = 0
  if not allowed then
    -- After a move to a smaller plan the limit-th newest is the last that has to leave.
    retry = redis.call('LINDEX', key, skip + limit - 1) + window - now
  end

  if live == 0 then
    -- Only what is there: after any write, even an idle one, a server out of memory lets a script go on writing.
    if head then redis.call('DEL', key) end
  else
    if live < length then redis.call('LTRIM', key, 0, skip + live - 1) end
    if skip == 1 then redis.call('LPOP', key) end
  end
  if allowed then
    redis.call('LPUSH', key, stamp)
    live = live + 1
    keep(key, previous, stamp)
  end

  local anomaly = 0
  if anomaly_window > 0 and (opened or not allowed) then
    local had_tally = opened ~= nil
    if not allowed then denied = denied + 1 end
    opened = opened or now
    local since = reported and opened or now - anomaly_window
    if denied + live > threshold then
      local requests = denied + later_than(key, since, 0, live)
      if requests > threshold then
        anomaly, denied, opened, reported = requests, 0, now, true
      end
    end
    redis.call('LPUSH', key, string.format('%d:%.0f:%d', denied, opened, reported and 1 or 0))
    -- A tally may outlive the log by up to the anomaly window, which is never longer than the window.
    if anomaly > 0 or not had_tally then redis.call('PEXPIRE', key, stamp - now + window + slack) end
  end

  local newest = allowed and stamp or previous
  return {allowed and 1 or 0, math.max(0, limit - live), newest + window, retry, anomaly}
end

local function status(key, limit, head)
  local skip = tally(head) and 1 or 0
  local live = later_than(key, now - window, skip, redis.call('LLEN', key) - skip)
  local newest = live > 0 and tonumber(redis.call('LINDEX', key, skip)) or now
  return {1, math.max(0, limit - live), newest + window, 0, 0}
end

local function answer(key, op, limit, threshold)
  if op == 'reset' then
    redis.call('DEL', key)
    return {1, limit, now + window, 0, 0}
  end
  local head = redis.call('LINDEX', key, 0)
  if op == 'status' then return status(key, limit, head) end
  if op == 'check' then
    local admitted = admit(key, limit, head)
    if admitted then return admitted end
  end
  return decide(key, limit, threshold, head)
end

local reply = {}
for i, key in ipairs(KEYS) do
  local ok, result = pcall(answer, key, ARGV[3 * i + 1], tonumber(ARGV[3 * i + 2]), tonumber(ARGV[3 * i + 3]))
  -- One request that fails (a key of another type, a server out of memory) leaves its neighbours alone.
  if not ok then
    local message = type(result) == 'table' and result.err or result
    result = {-1, tostring(message), 0, 0, 0}
  end
  for j = 1, 5 do reply[#reply + 1] = result[j] end
end
return reply
