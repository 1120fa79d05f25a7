// The Lua that changes seats in Valkey: each script is one atomic step. valkey.ts calls them and says what they answer.

/*
 * Keys of an event, all with its id as their hash tag, so that they are on one node of a cluster and one script may change them:
 *
 *   {event}:epoch            the marker: "<epoch>|open|<server life>|<epoch before>", or closed instead of open (see generation.ts)
 *   {event}:x:<hold>         a hold that has ended, for as long as a retry of it may come
 *   {event}:live             the last version of the event's changes: "<epoch>|<version>|<layout version>" (see live.ts)
 *   {event}:live:s           what it describes; {event}:live:c the changes of the last minute (stream, its ids are the versions)
 *   {event}:<epoch>:r:<sec>  16 bytes a seat (see seat-map.ts)
 *   {event}:<epoch>:m:<sec>  2 bits a seat
 *   {event}:<epoch>:u        person → what he holds and owns (see personOf and the entries in seat-map.ts): all there is about a hold beside its seats
 *   {event}:<epoch>:q        holds by expiry, the soonest first (list): expiry (6 bytes) and user. One that has ended stays until its time
 *   {event}:<epoch>:d        users by the expiry of a hold that did not go to that list's end (sorted set)
 *   {event}:<epoch>:c        code → seats that it has, held and sold
 *   {event}:<epoch>:a        which version of the channels the pools are of: "begun:done"
 *   {event}:<epoch>:n:<sec>  general admission: the next place to give out
 *   {event}:<epoch>:g:<sec>  general admission: places given back (list); those of pool 7 are in …:g:<sec>:7
 *
 * `q` and `d` are for clearing away, not for deciding: a record carries its own expiry. `sweep` and `adopt` work on holds that
 * they find, so on keys that they can't declare; they are in the same slot.
 *
 * What costs here is, in this order: calls of commands, arguments, new strings. A hold makes 8 calls, a lost one 4.
 */

// Only what a script uses is in it: each function costs a little at every call. Times are numbers of 13 digits, which Lua writes exactly.
const head = `
local call, sub, byte, rep, pack, unpack_at = redis.call, string.sub, string.byte, string.rep, struct.pack, struct.unpack
`;
const timing = `
local time = call('TIME')
local now = time[1] * 1000 + (time[2] - time[2] % 1000) / 1000
`;
const naming = `
local function raw(hold) return pack('>I4I4', tonumber(sub(hold, 1, 8), 16), tonumber(sub(hold, 9, 16), 16)) end
`;
const freedom = `
local function free_in(pool) return '\\0' .. string.char(pool) .. rep('\\0', 14) end
-- What the map says of a free seat: one that is a channel's is not for everybody.
local function shown(pool) return pool == 0 and 0 or 3 end
`;

// Bit fields count from a byte's highest bit, seats from its lowest: so one field for the rest of a byte, one for whole bytes (6 at
// most, since Lua counts exactly to 2^53 only), one for the begun byte.
export const painting = `
local function paint(map, start, length, state)
  local lane = start % 4
  if lane + length <= 4 then
    return call('BITFIELD', map, 'SET', 'u' .. 2 * length, (start - lane) * 2 + 8 - 2 * (lane + length), (4 ^ length - 1) / 3 * state)
  end
  local left = (4 - lane) % 4
  local right = (length - left) % 4
  local whole = length - left - right
  local at = (start + left) * 2
  if left > 0 then call('BITFIELD', map, 'SET', 'u' .. 2 * left, at - 8, (4 ^ left - 1) / 3 * state) end
  while whole > 0 do
    local here = whole > 24 and 24 or whole
    call('BITFIELD', map, 'SET', 'u' .. 2 * here, at, (4 ^ here - 1) / 3 * state)
    at, whole = at + 2 * here, whole - here
  end
  if right > 0 then call('BITFIELD', map, 'SET', 'u' .. 2 * right, at + 8 - 2 * right, (4 ^ right - 1) / 3 * state) end
end
`;

// A person's entries: see seat-map.ts.
const counting = `
-- Entries without this hold's; then what that one said: seats, deadline, expiry, code, runs.
local function apart(entries, own)
  local at = 1
  while entries and at <= #entries do
    local id, seats, deadline, expiry, code, runs, after = unpack_at('>c8BI6I6Bc0Hc0', entries, at)
    if id == own then return sub(entries, 1, at - 1) .. sub(entries, after), seats, deadline, expiry, code, runs end
    at = after
  end
  return entries or ''
end
local function entry(own, seats, deadline, expiry, code, runs)
  return own .. pack('>BI6I6Bc0Hc0', seats, deadline, expiry, #code, code, #runs, runs)
end
local function keep(people, user, entries)
  if entries == '' then call('HDEL', people, user) else call('HSET', people, user, entries) end
end
local function count(codes, code, seats)
  if code ~= '' and seats ~= 0 then call('HINCRBY', codes, code, seats) end
end
`;

// The marker is right and seats are missing: someone deleted or evicted them. Nobody may use the rest.
const breaking = `
local function broken(marker)
  call('SET', marker, (string.gsub(call('GET', marker), '|open|', '|closed|')))
  return {'stale'}
end
`;

// The same where the marker is known to be the first argument. For scripts that many call: a function costs each of them a little.
const isBroken = `call('SET', KEYS[1], (string.gsub(ARGV[1], '|open|', '|closed|'))) return {'stale'}`;

// What a person has; or, when this hold is known, what is known of it.
const holdIsCounted = `
local entries = call('HGET', KEYS[3], user)
local has, at = 0, 1
while entries and at <= #entries do
  local id, seats, until_when, expiry, _, runs
  id, seats, until_when, expiry, _, runs, at = unpack_at('>c8BI6I6Bc0Hc0', entries, at)
  if id == own then return {'known', until_when, expiry, runs, now} end
  if expiry == 0 or expiry > now then has = has + seats end
end
`;
const holdIsKept = `
local deadline = now + ARGV[5]
local expiry = deadline + ARGV[6]
local held = pack('>BBI6', 1, pool, expiry) .. own
`;

// KEYS: 1 marker, 2 this hold when it has ended, 3 people, 4 queue; then for each run: records, map; with a code, last: codes.
// ARGV: 1 marker, 2 hold, 3 user, 4 limit, 5 ttl, 6 margin, 7 sale opens, 8 sale ends, 9 pool, 10 runs; then for each run: start,
// length; with a code, last: the code, its limit ("0": none).
const hold = `${head}
local seen = call('MGET', KEYS[1], KEYS[2])
if seen[1] ~= ARGV[1] then return {'stale'} end
if seen[2] then return {'known'} end
${timing}
local hold, user, pool = ARGV[2], ARGV[3], tonumber(ARGV[9])
local own = pack('>I4I4', tonumber(sub(hold, 1, 8), 16), tonumber(sub(hold, 9, 16), 16))
local last = #KEYS - #KEYS % 2
local free = pack('>BBI6I8', 0, pool, 0, 0)
${holdIsCounted}
if now < tonumber(ARGV[7]) then return {'early'} end
if now >= tonumber(ARGV[8]) then return {'over'} end
local taken, wanted = nil, 0
for i = 5, last, 2 do
  local start, length = ARGV[i + 6] * 16, tonumber(ARGV[i + 7])
  local there = call('GETRANGE', KEYS[i], start, start + length * 16 - 1)
  if there ~= rep(free, length) then
    if #there ~= length * 16 then ${isBroken} end
    for seat = 0, length - 1 do
      local state, its_pool = byte(there, seat * 16 + 1, seat * 16 + 2)
      if its_pool ~= pool or (state ~= 0 and (state ~= 1 or unpack_at('>I6', there, seat * 16 + 3) > now)) then
        taken = taken or {'taken'}
        local holder = sub(there, seat * 16 + 9, seat * 16 + 16)
        -- Another person's, by the same checkout.
        if holder == own then return {'reused'} end
        -- What they have themselves is told apart, as -1 - its place: their own seats are not sold out.
        local is_theirs = entries and (state == 1 or state == 2) and string.find(entries, holder, 1, true)
        taken[#taken + 1] = is_theirs and -1 - wanted - seat or wanted + seat
      end
    end
  end
  wanted = wanted + length
end
if taken then return taken end
if has + wanted > tonumber(ARGV[4]) then return {'limit', has} end
local code = ''
if last < #KEYS then
  code = ARGV[last + 7]
  local used, limit = tonumber(call('HGET', KEYS[#KEYS], code) or 0), tonumber(ARGV[last + 8])
  if limit > 0 and used + wanted > limit then return {'code-limit', used} end
end
${holdIsKept}${painting}
for i = 5, last, 2 do
  local start, length = tonumber(ARGV[i + 6]), tonumber(ARGV[i + 7])
  call('SETRANGE', KEYS[i], start * 16, rep(held, length))
  paint(KEYS[i + 1], start, length, 1)
end
local runs = ARGV[10]
call('HSET', KEYS[3], user, (entries or '') .. own .. pack('>BI6I6Bc0Hc0', wanted, deadline, expiry, #code, code, #runs, runs))
call('RPUSH', KEYS[4], pack('>I6', expiry) .. user)
if code ~= '' then call('HINCRBY', KEYS[#KEYS], code, wanted) end
return {'held', deadline}
`;

// KEYS: 1 to 4 as in hold, 5 records, 6 map, 7 next place, 8 places given back, of this pool; with a code, last: codes.
// ARGV: 1 to 9 as in hold, 10 the section, as runs name it, 11 its capacity, 12 places wanted; with a code: 13 the code, 14 its limit.
// What is looked at in vain is not looked at again: a place is passed once by the counter, and once each time that it is given back.
const holdPlaces = `${head}${painting}
local seen = call('MGET', KEYS[1], KEYS[2], KEYS[7])
if seen[1] ~= ARGV[1] then return {'stale'} end
if seen[2] then return {'known'} end
${timing}${naming}
local user, pool, capacity, wanted = ARGV[3], tonumber(ARGV[9]), tonumber(ARGV[11]), tonumber(ARGV[12])
local own = raw(ARGV[2])
${holdIsCounted}
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
    if #there ~= 16 then ${isBroken} end
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
  if #there ~= ahead * 16 then ${isBroken} end
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
${holdIsKept}
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
`;

// Before the claim is written to MongoDB: does every seat still carry this hold, and will it for some seconds?
// KEYS: 1 marker, 2 this hold when it has ended, 3 people, 4 late holds, 5 codes; then for each run: records, map.
// ARGV: 1 marker, 2 epoch, 3 hold, 4 user, 5 the hold's epoch, 6 deadline, 7 latest, 8 extension, 9 limit, 10 runs; then for each
// run: start, length. Answers the code that the hold was made with, too.
const fence = `${head}${painting}${counting}${naming}
local seen = call('MGET', KEYS[1], KEYS[2])
if seen[1] ~= ARGV[1] then return {'stale'} end
if seen[2] then return {'ended'} end
${timing}
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
  if #there ~= length * 16 then ${isBroken} end
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
`;

// The claim is in MongoDB: seats become sold, whoever had them. In the keys of the marker's epoch, open or closed. KEYS as in fence.
// ARGV: 1 epoch, 2 hold, 3 user, 4 "1" when MongoDB was asked just now, so that an ended hold does not matter, 5 seats that the user
// owns by this hold, 6 code, if it is known, 7 runs; then for each run: start, length.
const settle = `${head}${painting}${counting}${naming}
local seen = call('MGET', KEYS[1], KEYS[2])
if not seen[1] or string.match(seen[1], '^%d+') ~= ARGV[1] then return {'stale'} end
if seen[2] and ARGV[4] ~= '1' then return {'ended'} end
local user, own = ARGV[3], raw(ARGV[2])
for i = 6, #KEYS, 2 do
  local start, length = tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3])
  local there = call('GETRANGE', KEYS[i], start * 16, (start + length) * 16 - 1)
  local sold
  if there == rep(sub(there, 1, 16), length) then
    sold = rep(pack('>BBI6', 2, byte(there, 2) or 0, 0) .. own, length)
  else
    sold = {}
    for seat = 0, length - 1 do sold[seat + 1] = pack('>BBI6', 2, byte(there, seat * 16 + 2) or 0, 0) .. own end
    sold = table.concat(sold)
  end
  call('SETRANGE', KEYS[i], start * 16, sold)
  paint(KEYS[i + 1], start, length, 2)
end
local others, known, deadline, _, code, runs = apart(call('HGET', KEYS[3], user), own)
local seats = tonumber(ARGV[5])
if not code or code == '' then code, known = ARGV[6], 0 end
if not runs or runs == '' then runs = ARGV[7] end
call('HSET', KEYS[3], user, others .. entry(own, seats, deadline or 0, 0, code, runs))
count(KEYS[5], code, seats - known)
return {'ok'}
`;

// Frees the seats of a run that carry this hold. With a list: general admission, whose places go back there.
const freeing = `${freedom}${painting}
local function free_run(records, map, list, start, length, own, now, sold_too)
  local there = call('GETRANGE', records, start * 16, (start + length) * 16 - 1)
  local freed, from, pool = 0, nil, 0
  local function write(last)
    if not from then return end
    call('SETRANGE', records, (start + from) * 16, rep(free_in(pool), last - from))
    paint(map, start + from, last - from, shown(pool))
    from = nil
  end
  for seat = 0, length do
    local state = seat < length and byte(there, seat * 16 + 1)
    local mine = state and sub(there, seat * 16 + 9, seat * 16 + 16) == own
    if mine and (state == 1 and (not now or unpack_at('>I6', there, seat * 16 + 3) <= now) or (state == 2 and sold_too)) then
      local its_pool = byte(there, seat * 16 + 2)
      if its_pool ~= pool then write(seat) end
      if not from then from, pool = seat, its_pool end
      freed = freed + 1
      if list then call('RPUSH', pool == 0 and list or list .. ':' .. pool, start + seat) end
    else
      write(seat)
    end
  end
  return freed
end
`;

// KEYS: 1 marker, 2 this hold when it has ended, 3 people, 4 (none), 5 codes; then for each run: records, map, places given back.
// ARGV: 1 epoch, 2 hold, 3 user, 4 "hold" (what is held, by this user; only while open) or "claim" (what is sold too), 5 memory,
// 6 "1" when the hold has ended with it, 7 code, if it is known; then for each run: start, length, "1" in general admission.
const release = `${head}${counting}${freeing}${naming}
local marker = call('GET', KEYS[1])
local epoch, state = string.match(marker or '', '^(%d+)|(%a+)')
if epoch ~= ARGV[1] or (ARGV[4] == 'hold' and state ~= 'open') then return {'stale'} end
local user, own, sold_too, ends = ARGV[3], raw(ARGV[2]), ARGV[4] == 'claim', ARGV[6] == '1'
local others, known, deadline, expiry, code, runs = apart(call('HGET', KEYS[3], user), own)
if not sold_too and expiry == 0 then return {'ok', 0} end
if not sold_too and not known then
  -- Either it is another's hold, which stays, or none yet, which must not become one later.
  for i = 6, #KEYS, 3 do
    local start, length = tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3])
    local there = call('GETRANGE', KEYS[i], start * 16, (start + length) * 16 - 1)
    for seat = 0, length - 1 do
      if sub(there, seat * 16 + 9, seat * 16 + 16) == own then return {'ok', 0} end
    end
  end
end
local freed = 0
for i = 6, #KEYS, 3 do
  local list = ARGV[i + 4] == '1' and KEYS[i + 2] or nil
  freed = freed + free_run(KEYS[i], KEYS[i + 1], list, tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3]), own, nil, sold_too)
end
if known and not sold_too and freed < known then
  -- What was not named ends with the rest.
  local generation = sub(KEYS[3], 1, -2)
  for tilde, section, start, length in string.gmatch(runs, '(~?)(%w+):(%d+):(%d+)') do
    local list = tilde ~= '' and generation .. 'g:' .. section or nil
    freed = freed + free_run(generation .. 'r:' .. section, generation .. 'm:' .. section, list, tonumber(start), tonumber(length), own, nil, false)
  end
end
if known then
  local left = ends and 0 or known - freed
  if left > 0 then others = others .. entry(own, left, deadline, expiry, code, runs) else left = 0 end
  if left ~= known then
    keep(KEYS[3], user, others)
    count(KEYS[5], code, left - known)
  end
end
if ends then call('SET', KEYS[2], 'X', 'PX', ARGV[5]) end
return {'ok', freed}
`;

// Clears away holds that have expired: up to so many people's at a time. KEYS: 1 marker, 2 people, 3 queue, 4 late holds, 5 codes.
// ARGV: 1 marker, 2 "{event}:", 3 "{event}:<epoch>:", 4 most, 5 memory, 6 ms that a hold lasts. Answers how many holds they had, and
// "1" when there are more. A hold at the queue's head that lasts longer than any was made before the server's clock went back: it
// would keep those behind it waiting, so it goes to the late ones.
const sweep = `${head}${counting}${freeing}
if call('GET', KEYS[1]) ~= ARGV[1] then return {'stale'} end
${timing}
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
`;

// ---- channels and blocks

// Seats get another pool, in whichever state they are. KEYS: 1 marker, 2 version; from 3, for each run: records, map, next place, places
// given back. ARGV: 1 epoch, 2 version of the channels, 3 pool; from 4, for each run: start, length, "1" in general admission.
const assign = `${head}${freedom}${painting}${breaking}
local seen = call('MGET', KEYS[1], KEYS[2])
if not seen[1] or string.match(seen[1], '^%d+') ~= ARGV[1] then return {'stale'} end
local version, pool = tonumber(ARGV[2]), tonumber(ARGV[3])
local begun, done = string.match(seen[2] or '0:0', '^(%d+):(%d+)$')
if tonumber(begun) > version then return {'old'} end
call('SET', KEYS[2], ARGV[2] .. ':' .. done)
for i = 3, #KEYS, 4 do
  local at = 4 + (i - 3) / 4 * 3
  local start, length = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
  local there = call('GETRANGE', KEYS[i], start * 16, (start + length) * 16 - 1)
  if #there ~= length * 16 then return broken(KEYS[1]) end
  local next_place = ARGV[at + 2] == '1' and tonumber(call('GET', KEYS[i + 2]) or 0)
  local seats, from = {}, nil
  for seat = 0, length do
    local state = seat < length and byte(there, seat * 16 + 1)
    if state then
      seats[seat + 1] = sub(there, seat * 16 + 1, seat * 16 + 1) .. string.char(pool) .. sub(there, seat * 16 + 3, seat * 16 + 16)
    end
    if state == 0 then
      from = from or seat
      -- Those that the general sale's counter has not come to yet need no list.
      if next_place and (pool ~= 0 or start + seat < next_place) then
        call('RPUSH', pool == 0 and KEYS[i + 3] or KEYS[i + 3] .. ':' .. pool, start + seat)
      end
    elseif from then
      paint(KEYS[i + 1], start + from, seat - from, shown(pool))
      from = nil
    end
  end
  call('SETRANGE', KEYS[i], start * 16, table.concat(seats))
end
return {'ok'}
`;

// All pools are as they should be in this version. KEYS: 1 marker, 2 version. ARGV: 1 epoch, 2 version.
const assigned = `
local seen = redis.call('MGET', KEYS[1], KEYS[2])
if not seen[1] or string.match(seen[1], '^%d+') ~= ARGV[1] then return {'stale'} end
local begun = string.match(seen[2] or '0:0', '^(%d+):')
if tonumber(begun) <= tonumber(ARGV[2]) then redis.call('SET', KEYS[2], ARGV[2] .. ':' .. ARGV[2]) end
return {'ok'}
`;

// Free seats of any pool become blocked, all or none; those that carry this block already are fine. In the keys of the marker's epoch,
// open or closed. KEYS: 1 marker; from 2, for each run: records, map. ARGV: 1 epoch, 2 block; from 3, for each run: start, length.
const block = `${head}${painting}${breaking}${naming}
local marker = call('GET', KEYS[1])
if not marker or string.match(marker, '^%d+') ~= ARGV[1] then return {'stale'} end
${timing}
local own = raw(ARGV[2])
local taken, ordinal, found = nil, 0, {}
for i = 2, #KEYS, 2 do
  local start, length = tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
  local there = call('GETRANGE', KEYS[i], start * 16, (start + length) * 16 - 1)
  if #there ~= length * 16 then return broken(KEYS[1]) end
  found[i] = there
  for seat = 0, length - 1 do
    local state = byte(there, seat * 16 + 1)
    local mine = state == 3 and sub(there, seat * 16 + 9, seat * 16 + 16) == own
    if state ~= 0 and not mine and (state ~= 1 or unpack_at('>I6', there, seat * 16 + 3) > now) then
      taken = taken or {'taken'}
      taken[#taken + 1] = ordinal + seat
    end
  end
  ordinal = ordinal + length
end
if taken then return taken end
for i = 2, #KEYS, 2 do
  local start, length, there, seats = tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2]), found[i], {}
  for seat = 0, length - 1 do seats[seat + 1] = pack('>BBI6', 3, byte(there, seat * 16 + 2), 0) .. own end
  call('SETRANGE', KEYS[i], start * 16, table.concat(seats))
  paint(KEYS[i + 1], start, length, 3)
end
return {'ok'}
`;

// Frees the seats that carry this block. KEYS and ARGV as in block.
const unblock = `${head}${freedom}${painting}${naming}
local marker = call('GET', KEYS[1])
if not marker or string.match(marker, '^%d+') ~= ARGV[1] then return {'stale'} end
local own, freed = raw(ARGV[2]), 0
for i = 2, #KEYS, 2 do
  local start, length = tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
  local there = call('GETRANGE', KEYS[i], start * 16, (start + length) * 16 - 1)
  for seat = 0, length - 1 do
    if byte(there, seat * 16 + 1) == 3 and sub(there, seat * 16 + 9, seat * 16 + 16) == own then
      local pool = byte(there, seat * 16 + 2)
      call('SETRANGE', KEYS[i], (start + seat) * 16, free_in(pool))
      paint(KEYS[i + 1], start + seat, 1, shown(pool))
      freed = freed + 1
    end
  end
end
return {'ok', freed}
`;

// ---- a new generation (see generation.ts)

// The new epoch takes over, closed, if none as new has. KEYS: 1 marker. ARGV: 1 epoch, 2 the new marker.
const begin = `
local now_there = redis.call('GET', KEYS[1])
if now_there and tonumber(string.match(now_there, '^%d+')) >= tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1
`;

// Brings people's holds that have survived into the new epoch, where their seats are free. KEYS: 1 marker, 2 people, 3 late holds,
// 4 codes, all of the new epoch, 5 people of the earlier one. ARGV: 1 marker, 2 "{event}:", 3 "{event}:<epoch>:"; then users.
const adopt = `${head}${painting}${counting}
if call('GET', KEYS[1]) ~= ARGV[1] then return {'stale'} end
${timing}
local adopted = 0
local function adopt(user, own, seats, deadline, expiry, code, runs)
  if call('EXISTS', ARGV[2] .. 'x:' .. string.format('%08x%08x', unpack_at('>I4I4', own))) == 1 then return end
  local entries = call('HGET', KEYS[2], user)
  local _, known = apart(entries, own)
  if known then return end
  local found = {}
  for section, start, length in string.gmatch(runs, '(%w+):(%d+):(%d+)') do
    local there = call('GETRANGE', ARGV[3] .. 'r:' .. section, start * 16, (start + length) * 16 - 1)
    if #there ~= length * 16 then return end
    local held = {}
    for seat = 0, length - 1 do
      if byte(there, seat * 16 + 1) ~= 0 then return end
      held[seat + 1] = pack('>BBI6', 1, byte(there, seat * 16 + 2), expiry) .. own
    end
    found[#found + 1] = {section, tonumber(start), tonumber(length), table.concat(held)}
  end
  for _, run in ipairs(found) do
    call('SETRANGE', ARGV[3] .. 'r:' .. run[1], run[2] * 16, run[4])
    paint(ARGV[3] .. 'm:' .. run[1], run[2], run[3], 1)
  end
  call('HSET', KEYS[2], user, (entries or '') .. entry(own, seats, deadline, expiry, code, runs))
  count(KEYS[4], code, seats)
  call('ZADD', KEYS[3], 'LT', expiry, user)
  adopted = adopted + 1
end
for i = 4, #ARGV do
  local entries, at = call('HGET', KEYS[5], ARGV[i]), 1
  while entries and at <= #entries do
    local own, seats, deadline, expiry, code, runs, after = unpack_at('>c8BI6I6Bc0Hc0', entries, at)
    if expiry > now then adopt(ARGV[i], own, seats, deadline, expiry, code, runs) end
    at = after
  end
end
return {'ok', adopted}
`;

// KEYS: 1 marker, then all keys of the new epoch. ARGV: 1 the marker, closed, 2 the marker, open.
const open = `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
for i = 2, #KEYS do redis.call('PERSIST', KEYS[i]) end
redis.call('SET', KEYS[1], ARGV[2])
return 1
`;

// Seats are missing though the marker is right: see broken. KEYS: 1 marker. ARGV: 1 marker, open, 2 marker, closed.
const close = `
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('SET', KEYS[1], ARGV[2]) end
`;

// A lock for so long, if nobody has it. One that lasts longer than any is taken for was taken before the server's clock went back:
// from now on it lasts as long as one that is taken now. KEYS: 1 lock. ARGV: 1 token, 2 ms.
const takeLock = `
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 1 end
if redis.call('PTTL', KEYS[1]) > tonumber(ARGV[2]) then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 0
`;

// A lock is its holder's as long as it carries his token. KEYS: 1 lock. ARGV: 1 token, 2 ms ("0": give it back).
const renewLock = `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '0' then redis.call('DEL', KEYS[1]) else redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 1
`;

// ---- seats as they change (see live.ts)

// Who writes an event's changes, and which was the last? KEYS: 1 marker, 2 lock, 3 head, 4 snapshot, 5 log.
// ARGV: 1 marker, 2 token, 3 ms that the lock lasts, 4 ms that the rest is kept.
const liveLook = `
local seen = redis.call('MGET', KEYS[1], KEYS[2], KEYS[3])
if seen[1] ~= ARGV[1] then return {'stale'} end
if seen[2] and seen[2] ~= ARGV[2] then
  if redis.call('PTTL', KEYS[2]) > tonumber(ARGV[3]) then redis.call('PEXPIRE', KEYS[2], ARGV[3]) end -- as in takeLock
  return {'ok', 0, seen[3] or ''}
end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
for i = 3, 5 do redis.call('PEXPIRE', KEYS[i], ARGV[4]) end
return {'ok', 1, seen[3] or ''}
`;

// The next version, if the one before is still the last: whoever writes has seen all that were written.
// KEYS: 1 marker, 2 head, 3 snapshot, 4 log. ARGV: 1 marker, 2 the head before, 3 the head, 4 snapshot, 5 change ("": a log of its
// own begins), 6 version, 7 the oldest version to keep, 8 ms that all is kept, 9 channel.
const livePublish = `
local seen = redis.call('MGET', KEYS[1], KEYS[2])
if seen[1] ~= ARGV[1] then return {'stale'} end
if (seen[2] or '') ~= ARGV[2] then return {'overtaken'} end
redis.call('SET', KEYS[2], ARGV[3], 'PX', ARGV[8])
redis.call('SET', KEYS[3], ARGV[4], 'PX', ARGV[8])
if ARGV[5] == '' then
  redis.call('DEL', KEYS[4])
else
  redis.call('XADD', KEYS[4], 'MINID', ARGV[7], ARGV[6], 'c', ARGV[5])
  redis.call('PEXPIRE', KEYS[4], ARGV[8])
end
redis.call('PUBLISH', ARGV[9], ARGV[3] .. '\\n' .. ARGV[5])
return {'ok'}
`;

export const scripts = {
  hold,
  holdPlaces,
  fence,
  settle,
  release,
  sweep,
  assign,
  assigned,
  block,
  unblock,
  begin,
  adopt,
  open,
  close,
  takeLock,
  renewLock,
  liveLook,
  livePublish,
} as const;
