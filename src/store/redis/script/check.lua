-- Decides a batch of requests, each exactly as the pure log does (src/quota/history.rs), in one atomic step.
--
-- KEYS[i]            the log of request i: a list of Unix ms, newest first; once its id has been denied, the head of the
--                    list is a tally (src/quota/anomaly.rs): "denials:opened:0" while requests are counted, and
--                    "0:reported:1" for an anomaly window after a report (an older version keeps counting there)
-- ARGV[1..3]         window, anomaly window (0: no anomalies), TTL slack; all in ms
-- ARGV[4]            the tag of the batch, one character; then byte i + 1: the kind of request i, from 0
-- ARGV[4k+5..4k+8]   kind k: op ("check", "limit", "status", "reset", "denied"), limit, anomaly threshold, and for
--                    "denied" how many denials the client has answered from its deny cache, to be counted here
--
-- Reply: the time of the decisions (Unix ms) and the tag, in one text, if all are plain admissions. Else a list of that text
-- and of the number of plain admissions; then six values for each other request: its number from 1; 1 allowed | 0 denied |
-- -1 failed; remaining, or of a denial for how long (ms) its id is not counted, or the server's error; reset (Unix ms);
-- retry after (ms); requests counted if this one is an anomaly, or of a denial that is counted minus the least number of
-- further requests that would be one, else 0.
--
-- A call costs the server about a microsecond, whatever it does. A check of a log that is not full makes two: LINDEX
-- shows that the list has no tally and is sorted so far, LPUSH returns its length, expired admissions included. Both take
-- text: to parse or format a number costs a third of a call.

local call, pcall_call, format, sub, find = redis.call, redis.pcall, string.format, string.sub, string.find

-- The moment as it is written in a log. Read once: TIME moves on while a script runs. Moments of equal length are in the
-- order of their texts.
local time = call('TIME')
local seconds, micros = time[1], time[2]
local now_text = seconds .. (#micros == 6 and sub(micros, 1, 3) or format('%03d', math.floor(micros / 1000)))
-- The tag shows that a reply belongs to its batch: a reply that is out of step would admit requests that are not counted.
local signed = now_text .. sub(ARGV[4], 1, 1)

-- Time is divided into buckets as long as the slack. The first admission in each sets the TTL, a window and a slack: most
-- checks need not set it, no log expires while it counts, and no key outlives its newest admission by more than the slack.

-- A single check that is admitted: the loop below without its overhead. Every other case, such as an error or a denial, is
-- decided there.
local known_full = false
if #KEYS == 1 and ARGV[5] == 'check' then
  local key, limit, now = KEYS[1], ARGV[6], now_text + 0
  local head = pcall_call('LINDEX', key, '0')
  -- An error is a table, of no length.
  local newest = head and #head == #now_text and tonumber(head)
  local due = not head or newest and now - newest > now % ARGV[3]
  -- A number of that length may be no moment ('1e12'): its digits are checked where the TTL is due anyway, once a bucket.
  if not head or newest and newest <= now and not (due and find(head, '%D')) then
    local length = pcall_call('LPUSH', key, now_text)
    if type(length) == 'number' then
      local admitted = length <= tonumber(limit)
      if not admitted then
        local last = call('LINDEX', key, limit)
        if not find(last, '%D') and tonumber(last) <= now_text - ARGV[1] then
          call('LTRIM', key, '0', limit - 1)
          admitted = true
        end
      end
      if admitted then
        if due then call('PEXPIRE', key, ARGV[1] + ARGV[3]) end
        return signed
      end
      call('LPOP', key)
      known_full = true
    end
  end
end

local window, anomaly_window, slack = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local now = tonumber(now_text)

local function text(moment) return format('%d%03d', math.floor(moment / 1000), moment % 1000) end

-- The beginning of the current bucket.
local ttl_bucket = text(now - now % slack)
local number, plain, reply = 0, 0, {signed, 0}

-- All other cases. Their functions are created when the first is needed: to create them costs as much as a whole check.
local slow
local function slow_path()
  if slow then return slow end

  -- Adds five values for the current request to the reply.
  local function reply_with(allowed, second, reset, retry, anomaly)
    local at = #reply
    reply[at + 1], reply[at + 2], reply[at + 3] = number, allowed, second
    reply[at + 4], reply[at + 5], reply[at + 6] = reset, retry, anomaly
  end

  -- The moment in an element of a list. Another program may have written it: 'nan', '1e400' or a number that no reply can
  -- hold would spoil the replies of other requests. Digits only, before the year 33658: a window still fits on top.
  local function moment_of(element)
    if not element or find(element, '%D') or #element > 15 then
      error('WRONGTYPE the key holds something else than a log', 0)
    end
    return tonumber(element)
  end

  -- An admission has made the list longer than `limit`. Returns whether the log was full, and undoes the admission then.
  -- Otherwise the limit-th admission has expired: it goes, and so do all that are older.
  local function undo_if_full(key, limit)
    local known, last = pcall(moment_of, call('LINDEX', key, limit))
    -- An element that is no moment fails again in `decide`, before it writes anything.
    if not known or last > now - window then
      call('LPOP', key)
      return true
    end
    call('LTRIM', key, '0', limit - 1)
    return false
  end

  -- How many of the `length` admissions behind the first `skip` elements are later than `moment`. The list is sorted: an
  -- exponential search from the oldest (usually one read), then a binary search. Returns the oldest, too.
  local function later_than(key, moment, skip, length)
    if length == 0 then return 0 end
    local oldest = moment_of(call('LINDEX', key, skip + length - 1))
    if oldest > moment then return length, oldest end
    local function later(i) return moment_of(call('LINDEX', key, skip + i)) > moment end
    local low, high, step = 0, length - 1, 1 -- all before `low` are later, none from `high` on is
    while low < high do
      local i = math.max(low, high - step)
      if later(i) then low = i + 1 break end
      high, step = i, step * 2
    end
    while low < high do
      local i = math.floor((low + high) / 2)
      if later(i) then low = i + 1 else high = i end
    end
    return low, oldest
  end

  -- Replies with the status after an admission now, which has made the list this long.
  local function reply_status(key, limit, length)
    local known, live = pcall(later_than, key, now - window, 0, length)
    if not known then
      call('LPOP', key)
      error(live, 0)
    end
    if live < length then call('LTRIM', key, '0', live - 1) end
    reply_with(1, limit - live, now + window, 0, 0)
  end

  -- The tally at the head of a list, if there is one.
  local function tally(head)
    if not head or tonumber(head) then return nil end
    local denied, opened, reported = string.match(head, '^(%d+):(%d+):([01])$')
    -- The limiter writes no count that a reply cannot hold.
    if not denied or #denied > 10 or tonumber(denied) > 4e9 or #opened > 15 then
      error('WRONGTYPE the key holds something else than a log', 0)
    end
    return tonumber(denied), tonumber(opened), reported == '1'
  end

  -- Counts `denials` more, beside `recent` admissions. Returns the requests to report if they are too many, else minus the
  -- number that is missing; and the tally afterwards.
  local function observe(denied, opened, denials, recent, threshold)
    local requests = denied + denials + recent
    if requests <= threshold then return requests - threshold - 1, format('%d:%s:0', denied + denials, text(opened)) end
    -- Of several denials at once, the first above the threshold is the anomaly.
    return requests - math.min(math.max(denials - 1, 0), requests - threshold - 1), format('0:%s:1', now_text)
  end

  -- Every other case: a tally, a full log, a clock that has stepped back. All reads come before the first write.
  local function decide(key, op, limit, threshold, denials, head)
    local denied, opened, reported = tally(head)
    local skip = opened and 1 or 0
    if not opened or opened + anomaly_window <= now then denied, opened, reported = 0, nil, false end

    local length = head and call('LLEN', key) - skip or 0
    local live, oldest = later_than(key, now - window, skip, length)
    local previous = live > 0 and moment_of(skip == 0 and head or call('LINDEX', key, '1')) or nil
    -- After a clock step back, the moment of the newest: the list stays sorted, stricter than the clock and never looser.
    local stamp = math.max(now, previous or 0)
    local allowed = op ~= 'denied' and live < limit
    local retry = 0
    if live >= limit then
      -- After a move to a smaller plan the limit-th newest is the last that has to leave.
      local last = length == limit and oldest or moment_of(call('LINDEX', key, skip + limit - 1))
      retry = last + window - now
    end

    local had_tally, anomaly, paused, counted = opened ~= nil, 0, 0, nil
    if reported then
      -- Capped: after a clock step back the pause is longer than a window, and the client asks again before its end.
      paused, counted = math.min(opened - now, 0) + anomaly_window, format('0:%s:1', text(opened))
    elseif anomaly_window > 0 and (had_tally or not allowed) then
      if op ~= 'denied' then denials = allowed and 0 or 1 end
      opened = opened or now
      local since = now - anomaly_window
      local recent = allowed and stamp > since and 1 or 0
      -- How many of the other admissions are recent matters only where they can reach the threshold. Else all of them
      -- count as recent, unless the newest is not.
      local others = live
      if not previous or previous <= since then
        others = 0
      elseif denied + denials + recent + live > threshold then
        others = later_than(key, since, skip, live)
      end
      recent = recent + others
      anomaly, counted = observe(denied, opened, denials, recent, threshold)
    end

    if live == 0 then
      -- Only a key that exists: after any write, even one without effect, a server out of memory lets a script go on writing.
      if head then call('DEL', key) end
      skip = 0
    elseif live < length then
      call('LTRIM', key, '0', skip + live - 1)
    end
    if skip == 1 and (allowed or not counted) then call('LPOP', key) end
    if allowed then
      call('LPUSH', key, text(stamp))
      live = live + 1
      if not previous or math.floor(previous / slack) ~= math.floor(stamp / slack) then
        call('PEXPIRE', key, stamp - now + window + slack)
      end
    end
    if counted and not (skip == 1 and not allowed and counted == head) then
      -- A server out of memory may refuse to count a denial. It is a denial all the same, and further ones are not counted.
      local write = op == 'denied' and call or redis.pcall
      local wrote
      if skip == 1 and not allowed then wrote = write('LSET', key, '0', counted) else wrote = write('LPUSH', key, counted) end
      if type(wrote) == 'table' and wrote.err then
        anomaly, paused = 0, anomaly_window
      elseif anomaly > 0 or not had_tally or live == 0 then
        -- A tally may outlive the log by up to the anomaly window, which is never longer than the window. Without a log,
        -- the key is new and has no TTL.
        call('PEXPIRE', key, (live == 0 and anomaly_window or stamp - now + window) + slack)
      end
    end

    local newest = allowed and stamp or previous or now
    if allowed or op == 'denied' then
      reply_with(1, math.max(0, limit - live), newest + window, retry, math.max(0, anomaly))
    else
      reply_with(0, paused, newest + window, retry, anomaly)
    end
  end

  -- Denials from the client's deny cache. Usually there is a tally, and they stay below the threshold even if every
  -- admission in the list is recent.
  local function count(key, limit, threshold, denials, head)
    local denied, opened, reported = tally(head)
    if not denied or reported or opened + anomaly_window <= now or denied + denials + call('LLEN', key) - 1 > threshold then
      return decide(key, 'denied', limit, threshold, denials, head)
    end
    call('LSET', key, '0', format('%d:%s:0', denied + denials, text(opened)))
    reply_with(1, 0, now + window, 0, 0)
  end

  local function status(key, limit, head)
    local skip = tally(head) and 1 or 0
    local live = later_than(key, now - window, skip, call('LLEN', key) - skip)
    local newest = live > 0 and moment_of(call('LINDEX', key, skip)) or now
    -- Removes expired admissions. A write, so that a replica refuses it: its data may be old.
    call('LTRIM', key, '0', skip + live - 1)
    reply_with(1, math.max(0, limit - live), newest + window, 0, 0)
  end

  local function reset(key, limit)
    call('DEL', key)
    reply_with(1, limit, now + window, 0, 0)
  end

  slow = {
    reply_with = reply_with, undo_if_full = undo_if_full, reply_status = reply_status,
    decide = decide, count = count, status = status, reset = reset,
  }
  return slow
end

local count = #KEYS
local function answers()
  -- Locals are faster than upvalues.
  local call, byte, find, keys, kinds, ttl_bucket = call, string.byte, find, KEYS, ARGV[4], ttl_bucket
  local now_text, digits = now_text, #now_text
  -- Most batches have requests of one kind.
  local only = #ARGV == 8 and byte(kinds, 2)
  local kind, at, op, limit, takes_slot
  for i = number + 1, count do
    number = i
    local key, k = keys[i], only or byte(kinds, i + 1)
    if k ~= kind then
      kind, at = k, 4 * k + 5
      op, limit = ARGV[at], tonumber(ARGV[at + 1])
      takes_slot = not known_full and (op == 'check' or op == 'limit')
    end
    local head = op ~= 'reset' and call('LINDEX', key, '0')
    -- A tally is longer than a moment, and a newest admission later than now means that the clock has stepped back. A text
    -- of 13 characters between the bucket's beginning and now begins as now does: its other characters do no harm here.
    local early = not head or head < ttl_bucket
    if takes_slot and (not head or head <= now_text and #head == digits and not (early and find(head, '%D'))) then
      local length = call('LPUSH', key, now_text)
      if length > limit and slow_path().undo_if_full(key, limit) then
        slow_path().decide(key, op, limit, tonumber(ARGV[at + 2]), 0, head)
      else
        if early then call('PEXPIRE', key, window + slack) end
        if op == 'check' then plain = plain + 1 else slow_path().reply_status(key, limit, math.min(length, limit)) end
      end
    elseif op == 'reset' then
      slow_path().reset(key, limit)
    elseif op == 'status' then
      slow_path().status(key, limit, head)
    elseif op == 'denied' then
      slow_path().count(key, limit, tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3]), head)
    else
      slow_path().decide(key, op, limit, tonumber(ARGV[at + 2]), 0, head)
    end
  end
end

-- A server out of memory has refused an admission. If the log is full, the request is denied all the same.
local function denial()
  local at = 4 * string.byte(ARGV[4], number + 1) + 5
  local key, op, limit = KEYS[number], ARGV[at], tonumber(ARGV[at + 1])
  slow_path().decide(key, op, limit, tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3]), call('LINDEX', key, '0'))
end

-- An error of the server is a text or a table, depending on its version.
local function error_text(problem) return tostring(type(problem) == 'table' and problem.err or problem) end

-- A request that fails (a key of another type, a server out of memory) does not affect the others.
while number < count do
  local ok, problem = pcall(answers)
  if not ok and string.find(error_text(problem), '^-?OOM') then ok, problem = pcall(denial) end
  if not ok then slow_path().reply_with(-1, error_text(problem), 0, 0, 0) end
end
if plain == count then return signed end
reply[2] = plain
return reply
