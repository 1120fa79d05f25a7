#!lua
-- Takes any places of a general-admission section.
-- What is looked at in vain is not looked at again: a place is passed once by the counter, and once each time that it is given
-- back.
-- KEYS: 1 to 4 as in hold, 5 records, 6 map, 7 next place, 8 places given back, of this pool; with a code, last: codes.
-- ARGV: 1 to 9 as in hold, 10 the section, as runs name it, 11 its capacity, 12 places wanted; with a code: 13 the code, 14 its
-- limit.
-- Answers: as hold, {'held', deadline, runs}, and {'short', places that are free}.

-- include head
-- include painting
local seen = call('MGET', KEYS[1], KEYS[2], KEYS[7])
if seen[1] ~= ARGV[1] then return {'stale'} end
if seen[2] then return {'known'} end
-- include timing
-- include naming
local user, pool, capacity, wanted = ARGV[3], tonumber(ARGV[9]), tonumber(ARGV[11]), tonumber(ARGV[12])
local own = raw(ARGV[2])
-- include hold-is-counted
if now < tonumber(ARGV[7]) then return {'early'} end
if now >= tonumber(ARGV[8]) then return {'over'} end
if has + wanted > tonumber(ARGV[4]) then return {'limit', has} end
local code = ARGV[13] or ''
if code ~= '' then
  local used, limit = tonumber(call('HGET', KEYS[9], code) or 0), tonumber(ARGV[14])
  if limit > 0 and used + wanted > limit then return {'code-limit', used} end
end
local function is_free(there, at)
  local state, its_pool = byte(there, at + 1, at + 2)
  return its_pool == pool and (state == 0 or (state == 1 and unpack_at('>I6', there, at + 3) <= now))
end
local places, chosen, n, looked = {}, {}, 0, 0
-- A place in the list may have been taken by another way since: its record decides.
while n < wanted do
  local back = call('LRANGE', KEYS[8], looked, looked + wanted - n - 1)
  if #back == 0 then break end
  looked = looked + #back
  for i = 1, #back do
    local place = tonumber(back[i])
    local there = call('GETRANGE', KEYS[5], place * 16, place * 16 + 15)
    if #there ~= 16 then
      -- include is-broken
    end
    if not chosen[place] and is_free(there, 0) then
      n = n + 1
      places[n] = place
      chosen[place] = true
    end
  end
end
local back_again = n
-- A channel's places are all in its list.
local first = pool == 0 and tonumber(seen[3] or 0) or capacity
local next_place, ahead = first, wanted - n
while n < wanted and next_place < capacity do
  if ahead > capacity - next_place then ahead = capacity - next_place end
  local there = call('GETRANGE', KEYS[5], next_place * 16, (next_place + ahead) * 16 - 1)
  if #there ~= ahead * 16 then
    -- include is-broken
  end
  local step = there == rep(sub(there, 1, 16), ahead) and not is_free(there, 0) and ahead or 1
  local seat = 0
  while seat < ahead and n < wanted do
    local place = next_place + seat
    if step == 1 and not chosen[place] and is_free(there, seat * 16) then
      n = n + 1
      places[n] = place
    end
    seat = seat + step
  end
  next_place = next_place + seat
  ahead = 200
end
if n < wanted then
  if looked > back_again or next_place > first then
    call('DEL', KEYS[8])
    if n > 0 then call('RPUSH', KEYS[8], unpack(places)) end
    if pool == 0 then call('SET', KEYS[7], next_place) end
  end
  return {'short', n}
end
-- include hold-is-kept
if looked > 0 then call('LTRIM', KEYS[8], looked, -1) end
if next_place > first then call('SET', KEYS[7], next_place) end
if looked > 0 then table.sort(places) end
local runs, from = '', 1
for i = 1, wanted do
  if places[i + 1] ~= places[i] + 1 then
    local start, length = places[from], i - from + 1
    call('SETRANGE', KEYS[5], start * 16, rep(held, length))
    paint(KEYS[6], start, length, 1)
    runs = runs .. (from > 1 and ',' or '') .. ARGV[10] .. ':' .. start .. ':' .. length
    from = i + 1
  end
end
call('HSET', KEYS[3], user, (entries or '') .. own .. pack('>BI6I6Bc0Hc0', wanted, deadline, expiry, #code, code, #runs, runs))
call('RPUSH', KEYS[4], pack('>I6', expiry) .. user)
if code ~= '' then call('HINCRBY', KEYS[9], code, wanted) end
return {'held', deadline, runs}
