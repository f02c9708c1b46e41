-- Enters admissions that a process granted while the server was away into their logs, each at its own moment, and anomalies
-- that the process reported.
--
-- KEYS[i]     a log, as check.lua keeps it: Unix ms, newest first, perhaps with a tally at its head
-- ARGV[1..4]  window, anomaly window (0: no anomalies) and TTL slack, in ms; the tag of the call, one character
-- ARGV[5..]   for each key: how long ago the log was reset (ms; '' if it was not), how long ago an anomaly was reported
--             (likewise), how many admissions, and how long ago each of them was made (ms), newest first
--
-- Reply: the tag; then two values for each key that could not be written: its number from 1, and the server's error.
--
-- Each key is written as a whole or not at all: its first write is refused, or none is (a server out of memory lets a script
-- go on that has written already).

-- To insert older admissions, a call takes up to this many newer ones off their lists and puts them back. Behind more than
-- these, an old admission is entered at the moment of the last one taken off: later than it should be, never earlier.
local remaining = 1000
-- Arguments of one command: Lua's own limit is some thousand.
local PUSHED = 100

local call = redis.call
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local window, anomaly_window, slack = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])

local function text(moment) return string.format('%d%03d', math.floor(moment / 1000), moment % 1000) end

-- The tally at the head of a log, as text.
local function tally(key)
  local head = call('LINDEX', key, '0')
  if not head or tonumber(head) then return nil end
  local denied, opened = string.match(head, '^(%d+):(%d+):[01]$')
  if not denied or #denied > 10 or #opened > 15 then error('WRONGTYPE the key holds something else than a log', 0) end
  return head
end

-- The moment in an element of a list, as in check.lua: another program may have written it.
local function moment_of(element)
  if not element then return nil end
  if string.find(element, '%D') or #element > 15 then error('WRONGTYPE the key holds something else than a log', 0) end
  return tonumber(element)
end

-- Removes the admissions that are not later than `moment`, and the tally.
local function forget(key, moment, skip)
  local low, high = skip, call('LLEN', key) -- all before `low` are later, none from `high` on is
  while low < high do
    local i = math.floor((low + high) / 2)
    if moment_of(call('LINDEX', key, i)) > moment then low = i + 1 else high = i end
  end
  if low == skip then call('DEL', key) else call('LTRIM', key, skip, low - 1) end
end

-- Enters `moments`, newest first. Behind a tally, if `skip` is 1.
local function enter(key, moments, skip)
  local newer, floor, oldest = {}, 0, moments[#moments]
  local next_one = moment_of(call('LINDEX', key, skip))
  while next_one and next_one > oldest do
    if remaining == 0 then floor = next_one break end
    remaining = remaining - 1
    newer[#newer + 1] = next_one
    next_one = moment_of(call('LINDEX', key, skip + #newer))
  end
  local count = #newer
  if skip + count > 0 then call('LTRIM', key, skip + count, -1) end
  -- Merges both, from the oldest on.
  local merged, i, j = {}, #moments, count
  while i > 0 or j > 0 do
    local moment = i > 0 and math.max(moments[i], floor)
    if j > 0 and (not moment or newer[j] <= moment) then
      merged[#merged + 1], j = text(newer[j]), j - 1
    else
      merged[#merged + 1], i = text(moment), i - 1
    end
  end
  for first = 1, #merged, PUSHED do
    call('LPUSH', key, unpack(merged, first, math.min(first + PUSHED - 1, #merged)))
  end
  return tonumber(merged[#merged])
end

-- The tally of an anomaly that was reported at `moment`; `nil` if its window is over, or the tally at the head is of a later
-- report.
local function reported_at(moment, head)
  if moment + anomaly_window <= now then return nil end
  local _, _, at = string.find(head or '', '^%d+:(%d+):1$')
  if at and tonumber(at) >= moment then return nil end
  return '0:' .. text(moment) .. ':1'
end

local function replay(key, forgotten, reported, moments)
  local head = tally(key)
  if forgotten ~= '' then
    forget(key, now - tonumber(forgotten), head and 1 or 0)
    head = nil
  end
  local report = reported ~= '' and reported_at(now - tonumber(reported), head)
  local lives = report and anomaly_window - tonumber(reported) + slack or 0
  if #moments > 0 then
    local newest = enter(key, moments, head and 1 or 0)
    if report or head then call('LPUSH', key, report or head) end
    call('PEXPIRE', key, math.max(lives, newest - now + window + slack))
  elseif report and head then
    call('LSET', key, '0', report)
    call('PEXPIRE', key, lives, 'GT')
  elseif report then
    local length = call('LPUSH', key, report)
    -- A new key has no TTL, which GT takes for infinite.
    if length == 1 then call('PEXPIRE', key, lives) else call('PEXPIRE', key, lives, 'GT') end
  end
end

local reply, at = {ARGV[4]}, 5
for number, key in ipairs(KEYS) do
  local forgotten, reported, count, moments = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2]), {}
  for i = 1, count do
    local moment = now - tonumber(ARGV[at + 2 + i])
    -- Expired admissions count no more.
    if moment + window > now then moments[#moments + 1] = moment end
  end
  at = at + 3 + count
  local ok, problem = pcall(replay, key, forgotten, reported, moments)
  if not ok then
    reply[#reply + 1] = number
    reply[#reply + 1] = tostring(type(problem) == 'table' and problem.err or problem)
  end
end
return reply
