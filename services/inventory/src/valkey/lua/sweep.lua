#!lua flags=allow-oom
-- Clears away holds that have expired: up to so many people's at a time.
-- A hold at the queue's head that lasts longer than any was made before the server's clock went back: it would keep those behind it
-- waiting, so it goes to the late ones.
-- KEYS: 1 marker, 2 people, 3 queue, 4 late holds, 5 codes.
-- ARGV: 1 marker, 2 "{event}:", 3 "{event}:<epoch>:", 4 most, 5 memory, 6 ms that a hold lasts.
-- Answers: {'ok', holds cleared away, 1 when there are more}; {'stale'} when another generation is there.

-- include head
-- include counting
-- include freeing
if call('GET', KEYS[1]) ~= ARGV[1] then return {'stale'} end
-- include timing
local most, cleared = tonumber(ARGV[4]), 0
-- The soonest expiry of those that are still held.
local function clear(user)
  local entries, kept, soonest, at = call('HGET', KEYS[2], user), '', nil, 1
  while entries and at <= #entries do
    local own, seats, _, expiry, code, runs, after = unpack_at('>c8BI6I6Bc0Hc0', entries, at)
    if expiry == 0 or expiry > now then
      kept = kept .. sub(entries, at, after - 1)
      if expiry > 0 and (not soonest or expiry < soonest) then soonest = expiry end
    else
      for tilde, section, start, length in string.gmatch(runs, '(~?)(%w+):(%d+):(%d+)') do
        local list = tilde ~= '' and ARGV[3] .. 'g:' .. section or nil
        free_run(ARGV[3] .. 'r:' .. section, ARGV[3] .. 'm:' .. section, list, tonumber(start), tonumber(length), own, now, false)
      end
      count(KEYS[5], code, -seats)
      call('SET', ARGV[2] .. 'x:' .. string.format('%08x%08x', unpack_at('>I4I4', own)), 'X', 'PX', ARGV[5])
      cleared = cleared + 1
    end
    at = after
  end
  if entries and #kept < #entries then keep(KEYS[2], user, kept) end
  return soonest
end
local queue, done, longest = call('LRANGE', KEYS[3], 0, 4 * most - 1), 0, now + ARGV[6]
while queue[done + 1] and cleared < most do
  local expiry, user = unpack_at('>I6', queue[done + 1]), sub(queue[done + 1], 7)
  if expiry <= now then clear(user)
  elseif expiry > longest then call('ZADD', KEYS[4], 'LT', expiry, user)
  else break end
  done = done + 1
end
if done > 0 then call('LTRIM', KEYS[3], done, -1) end
local late = cleared < most and call('ZRANGEBYSCORE', KEYS[4], '-inf', now, 'LIMIT', 0, most - cleared) or {}
for _, user in ipairs(late) do
  local soonest = clear(user)
  if soonest then call('ZADD', KEYS[4], soonest, user) else call('ZREM', KEYS[4], user) end
end
local more = done == 4 * most or cleared >= most
return {'ok', cleared, more and 1 or 0}
