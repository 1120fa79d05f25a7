#!lua flags=allow-oom
-- Before the claim is written to MongoDB: does every seat still carry this hold, and will it for some seconds?
-- KEYS: 1 marker, 2 this hold when it has ended, 3 people, 4 late holds, 5 codes; then for each run: records, map.
-- ARGV: 1 marker, 2 epoch, 3 hold, 4 user, 5 the hold's epoch, 6 deadline, 7 latest, 8 extension, 9 limit, 10 runs; then for each
-- run: start, length.
-- Answers: {'ok', "1" where lost seats were taken again, code that it was made with}; {'taken', places}; {'ended'}; {'lapsed'};
-- {'stale'} when another generation is there.

-- include head
-- include painting
-- include counting
-- include naming
local seen = call('MGET', KEYS[1], KEYS[2])
if seen[1] ~= ARGV[1] then return {'stale'} end
if seen[2] then return {'ended'} end
-- include timing
local user, own = ARGV[4], raw(ARGV[3])
local entries = call('HGET', KEYS[3], user)
local others, known, _, until_when, code = apart(entries, own)
code = code or ''
if known and until_when ~= 0 and until_when <= now then return {'lapsed'} end
local taken, missing, lapsed, foreign, soonest = nil, false, false, false, math.huge
local wanted, found = 0, {}
for i = 6, #KEYS, 2 do
  local start, length = tonumber(ARGV[i + 5]), tonumber(ARGV[i + 6])
  local there = call('GETRANGE', KEYS[i], start * 16, (start + length) * 16 - 1)
  if #there ~= length * 16 then
    -- include is-broken
  end
  local step = there == rep(sub(there, 1, 16), length) and length or 1
  for seat = 0, length - 1, step do
    local state, pool, expiry, holder = unpack_at('>BBI6c8', there, seat * 16 + 1)
    if state == 2 and holder == own then
      foreign = foreign or not known -- claimed before
    elseif state == 1 and holder == own then
      foreign = foreign or not known
      if expiry <= now then lapsed = true elseif expiry < soonest then soonest = expiry end
      found[#found + 1] = {i, start + seat, step, pool}
    elseif state == 0 or (state == 1 and expiry <= now) then
      missing = true
      found[#found + 1] = {i, start + seat, step, pool}
    else
      taken = taken or {'taken'}
      for k = seat, seat + step - 1 do taken[#taken + 1] = wanted + k end
    end
  end
  wanted = wanted + length
end
if taken then return taken end
-- Seats of a hold that another has.
if foreign then return {'ended'} end
if lapsed then return {'lapsed'} end
local latest = tonumber(ARGV[7])
-- Seats that were lost together with an epoch, and that nobody has taken since, are still this buyer's until the hold would have expired.
if missing and not (tonumber(ARGV[5]) < tonumber(ARGV[2]) and now <= latest) then return {'lapsed'} end
if missing or soonest < now + ARGV[8] then
  if missing then
    -- Their person may have held others instead while these were lost.
    local has, at = wanted, 1
    while at <= #others do
      local _, seats, _, expiry, _, _, after = unpack_at('>c8BI6I6Bc0Hc0', others, at)
      if expiry == 0 or expiry > now then has = has + seats end
      at = after
    end
    if has > tonumber(ARGV[9]) then return {'lapsed'} end
  end
  local expiry = now + ARGV[8]
  if latest > expiry then expiry = latest end
  for _, seats in ipairs(found) do
    call('SETRANGE', KEYS[seats[1]], seats[2] * 16, rep(pack('>BBI6', 1, seats[4], expiry) .. own, seats[3]))
    paint(KEYS[seats[1] + 1], seats[2], seats[3], 1)
  end
  call('HSET', KEYS[3], user, others .. entry(own, wanted, tonumber(ARGV[6]), expiry, code, ARGV[10]))
  count(KEYS[5], code, wanted - (known or 0))
  call('ZADD', KEYS[4], 'LT', expiry, user)
end
return {'ok', missing and 1 or 0, code}
