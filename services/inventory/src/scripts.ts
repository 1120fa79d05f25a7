// The Lua that changes seats in Valkey: each script is one atomic step. valkey.ts calls them and says what they answer.

/*
 * Keys of an event, all with its id as their hash tag, so that they are on one node of a cluster and one script may change them:
 *
 *   {event}:epoch            the marker: "<epoch>|open|<server life>|<epoch before>", or closed instead of open (see generation.ts)
 *   {event}:h:<hold>         a hold: "H|epoch|deadline|expiry|user|runs"; S instead of H when sold; "X|0" when it has ended
 *   {event}:<epoch>:r:<sec>  16 bytes a seat (see seat-map.ts)
 *   {event}:<epoch>:m:<sec>  2 bits a seat
 *   {event}:<epoch>:d        holds by expiry (sorted set): for clearing away, not for deciding
 *   {event}:<epoch>:p        user → "hold:seats:expiry;…", expiry 0 when sold
 *   {event}:<epoch>:n:<sec>  general admission: the next place to give out
 *   {event}:<epoch>:g:<sec>  general admission: places given back (list)
 *
 * `sweep` and `adopt` work on holds that they find, so on keys that they can't declare; they are in the same slot.
 */

// Only what a script uses is in it: each function costs a little at every call. Times are numbers of 13 digits, which Lua writes exactly.
const head = `
local call, sub, byte, rep, pack, unpack_at = redis.call, string.sub, string.byte, string.rep, struct.pack, struct.unpack
local free = rep('\\0', 16)
local function clock()
  local t = call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end
local function raw(hold)
  return pack('>I4I4', tonumber(sub(hold, 1, 8), 16), tonumber(sub(hold, 9, 16), 16))
end
`;

// One bit field for each byte touched. Bit fields count from a byte's highest bit, seats from its lowest.
const painting = `
local function paint(map, start, length, state)
  local lane = start % 4
  if lane + length <= 4 then
    return call('BITFIELD', map, 'SET', 'u' .. 2 * length, (start - lane) * 2 + 8 - 2 * (lane + length), (4 ^ length - 1) / 3 * state)
  end
  local fields, n = {}, 0
  local seat, last = start, start + length
  while seat < last do
    lane = seat % 4
    local count = 4 - lane
    if count > last - seat then count = last - seat end
    fields[n + 1] = 'SET'
    fields[n + 2] = 'u' .. 2 * count
    fields[n + 3] = (seat - lane) * 2 + 8 - 2 * (lane + count)
    fields[n + 4] = (4 ^ count - 1) / 3 * state
    n = n + 4
    seat = seat + count
  end
  call('BITFIELD', map, unpack(fields))
end
`;

// What a person has besides this hold: seats, and the entries that have not lapsed. Then the seats of this hold, and their expiry.
const counting = `
local function others(entries, hold, now)
  local seats, kept, own, own_expiry = 0, '', 0, 0
  if entries then
    for id, n, expiry in string.gmatch(entries, '(%x+):(%d+):(%d+);') do
      if id == hold then
        own, own_expiry = tonumber(n), expiry
      elseif expiry == '0' or tonumber(expiry) > now then
        seats = seats + n
        kept = kept .. id .. ':' .. n .. ':' .. expiry .. ';'
      end
    end
  end
  return seats, kept, own, own_expiry
end
`;

// The marker is right and seats are missing: someone deleted or evicted them. Nobody may use the rest.
const breaking = `
local function broken(marker)
  call('SET', marker, (string.gsub(call('GET', marker), '|open|', '|closed|')))
  return {'stale'}
end
`;

// KEYS: 1 marker, 2 hold, 3 people, 4 holds by expiry.
// ARGV: 1 marker, 2 epoch, 3 hold, 4 user, 5 limit, 6 ttl, 7 margin, 8 memory, 9 sale opens, 10 sale ends, 11 seats wanted, 12 runs.
const holdBegins = `
local seen = call('MGET', KEYS[1], KEYS[2])
if seen[1] ~= ARGV[1] then return {'stale'} end
local now = clock()
local prior = seen[2]
if prior then
  local kind, epoch = string.match(prior, '^(%u)|(%d+)')
  -- A hold of an earlier epoch whose seats were lost with it is no hold; one that has ended stays ended.
  if kind ~= 'H' or epoch == ARGV[2] then return {'known', prior, now} end
end
if now < tonumber(ARGV[9]) then return {'early'} end
if now >= tonumber(ARGV[10]) then return {'over'} end
local hold, user, wanted = ARGV[3], ARGV[4], tonumber(ARGV[11])
`;
const holdEnds = `
local entries = call('HGET', KEYS[3], user)
local has, kept = others(entries, hold, now)
if has + wanted > tonumber(ARGV[5]) then return {'limit', has} end
local deadline = now + ARGV[6]
local expiry = deadline + ARGV[7]
local held = pack('>BxI6', 1, expiry) .. raw(hold)
`;
const holdIsKept = `
call('SET', KEYS[2], 'H|' .. ARGV[2] .. '|' .. deadline .. '|' .. expiry .. '|' .. user .. '|' .. runs, 'PX', expiry - now + ARGV[8])
call('ZADD', KEYS[4], expiry, hold)
call('HSET', KEYS[3], user, kept .. hold .. ':' .. wanted .. ':' .. expiry .. ';')
return {'held', deadline, runs}
`;

// KEYS from 5, for each run: records, map. ARGV from 13, for each run: start, length.
const hold = `${head}${painting}${counting}${breaking}${holdBegins}
local taken
local ordinal = 0
for i = 5, #KEYS, 2 do
  local start, length = tonumber(ARGV[i + 8]), tonumber(ARGV[i + 9])
  local now_there = call('GETRANGE', KEYS[i], start * 16, (start + length) * 16 - 1)
  if #now_there ~= length * 16 then return broken(KEYS[1]) end
  if now_there ~= rep(free, length) then
    for seat = 0, length - 1 do
      local state = byte(now_there, seat * 16 + 1)
      if state ~= 0 and (state ~= 1 or unpack_at('>I6', now_there, seat * 16 + 3) > now) then
        taken = taken or {'taken'}
        taken[#taken + 1] = ordinal + seat
      end
    end
  end
  ordinal = ordinal + length
end
if taken then return taken end
${holdEnds}
for i = 5, #KEYS, 2 do
  local start, length = tonumber(ARGV[i + 8]), tonumber(ARGV[i + 9])
  call('SETRANGE', KEYS[i], start * 16, rep(held, length))
  paint(KEYS[i + 1], start, length, 1)
end
local runs = ARGV[12]
${holdIsKept}`;

// KEYS: 5 records, 6 map, 7 next place, 8 places given back. ARGV: 12 the section, as runs name it; 13 its capacity.
const holdPlaces = `${head}${painting}${counting}${breaking}${holdBegins}
local capacity = tonumber(ARGV[13])
local function is_free(place)
  local at = place * 16
  local there = call('GETRANGE', KEYS[5], at, at + 15)
  local state = byte(there, 1)
  return state == 0 or (state == 1 and unpack_at('>I6', there, 3) <= now)
end
if call('STRLEN', KEYS[5]) ~= capacity * 16 then return broken(KEYS[1]) end
local places, looked = {}, 0
-- A place in the list may have been taken by another way since: its record decides.
while #places < wanted do
  local back = call('LRANGE', KEYS[8], looked, looked + wanted - 1)
  if #back == 0 then break end
  for i = 1, #back do
    if #places == wanted then break end
    looked = looked + 1
    local place = tonumber(back[i])
    local twice = false
    for k = 1, #places do twice = twice or places[k] == place end
    if not twice and is_free(place) then places[#places + 1] = place end
  end
end
local next_place = tonumber(call('GET', KEYS[7]) or 0)
while #places < wanted and next_place < capacity do
  local twice = false
  for k = 1, #places do twice = twice or places[k] == next_place end
  if not twice and is_free(next_place) then places[#places + 1] = next_place end
  next_place = next_place + 1
end
if #places < wanted then return {'short', #places} end
${holdEnds}
call('LTRIM', KEYS[8], looked, -1)
call('SET', KEYS[7], next_place)
table.sort(places)
local runs = {}
local from = 1
for i = 1, wanted do
  if i == wanted or places[i + 1] ~= places[i] + 1 then
    local start, length = places[from], i - from + 1
    call('SETRANGE', KEYS[5], start * 16, rep(held, length))
    paint(KEYS[6], start, length, 1)
    runs[#runs + 1] = ARGV[12] .. ':' .. start .. ':' .. length
    from = i + 1
  end
end
runs = table.concat(runs, ',')
${holdIsKept}`;

// Before the claim is written to MongoDB: does every seat still carry this hold, and will it for some seconds?
// KEYS as in hold. ARGV: 1 marker, 2 epoch, 3 hold, 4 user, 5 the hold's epoch, 6 deadline, 7 latest, 8 extension, 9 memory,
// 10 seats, 11 runs, 12 limit; from 13, for each run: start, length.
const fence = `${head}${painting}${counting}${breaking}
local seen = call('MGET', KEYS[1], KEYS[2])
if seen[1] ~= ARGV[1] then return {'stale'} end
local now = clock()
local hold, user = ARGV[3], ARGV[4]
if seen[2] then
  local kind, expiry, holder = string.match(seen[2], '^(%u)|%d+|%d+|(%d+)|([^|]*)|')
  if holder ~= user then return {'ended'} end
  if kind == 'H' and tonumber(expiry) <= now then return {'lapsed'} end
end
local own = raw(hold)
local taken, missing, lapsed, soonest = nil, false, false, math.huge
local ordinal = 0
local seats = {}
for i = 5, #KEYS, 2 do
  local start, length = tonumber(ARGV[i + 8]), tonumber(ARGV[i + 9])
  local there = call('GETRANGE', KEYS[i], start * 16, (start + length) * 16 - 1)
  if #there ~= length * 16 then return broken(KEYS[1]) end
  for seat = 0, length - 1 do
    local state = byte(there, seat * 16 + 1)
    local expiry = unpack_at('>I6', there, seat * 16 + 3)
    local mine = sub(there, seat * 16 + 9, seat * 16 + 16) == own
    if state == 2 and mine then
      -- claimed before
    elseif state == 1 and mine then
      if expiry <= now then lapsed = true elseif expiry < soonest then soonest = expiry end
      seats[#seats + 1] = {i, start + seat}
    elseif state == 0 or (state == 1 and expiry <= now) then
      missing = true
      seats[#seats + 1] = {i, start + seat}
    else
      taken = taken or {'taken'}
      taken[#taken + 1] = ordinal + seat
    end
  end
  ordinal = ordinal + length
end
if taken then return taken end
if lapsed then return {'lapsed'} end
local latest = tonumber(ARGV[7])
-- Seats that were lost together with an epoch, and that nobody has taken since, are still this buyer's until the hold would have expired.
if missing and not (tonumber(ARGV[5]) < tonumber(ARGV[2]) and now <= latest) then return {'lapsed'} end
if missing or soonest < now + ARGV[8] then
  local has, kept = others(call('HGET', KEYS[3], user), hold, now)
  -- Their person may have held others instead while these were lost.
  if missing and has + ARGV[10] > tonumber(ARGV[12]) then return {'lapsed'} end
  local expiry = now + ARGV[8]
  if latest > expiry then expiry = latest end
  local held = pack('>BxI6', 1, expiry) .. own
  for _, seat in ipairs(seats) do
    call('SETRANGE', KEYS[seat[1]], seat[2] * 16, held)
    paint(KEYS[seat[1] + 1], seat[2], 1, 1)
  end
    call('SET', KEYS[2], 'H|' .. ARGV[2] .. '|' .. ARGV[6] .. '|' .. expiry .. '|' .. user .. '|' .. ARGV[11], 'PX', expiry - now + ARGV[9])
  call('ZADD', KEYS[4], expiry, hold)
  call('HSET', KEYS[3], user, kept .. hold .. ':' .. ARGV[10] .. ':' .. expiry .. ';')
end
return {'ok', missing and 1 or 0}
`;

// The claim is in MongoDB: seats become sold, whoever had them. KEYS as in hold, in the keys of the marker's epoch, open or closed.
// ARGV: 1 epoch, 2 hold, 3 user, 4 "1" when MongoDB was asked just now, so that an ended hold does not matter, 5 memory,
// 6 seats that the user owns by this hold, 7 runs; from 8, for each run: start, length.
const settle = `${head}${painting}${counting}
local seen = call('MGET', KEYS[1], KEYS[2])
if not seen[1] or string.match(seen[1], '^%d+') ~= ARGV[1] then return {'stale'} end
local hold, user, prior = ARGV[2], ARGV[3], seen[2]
local ended = prior and sub(prior, 1, 1) == 'X'
if ended and ARGV[4] ~= '1' then return {'ended'} end
local sold = pack('>BxI6', 2, 0) .. raw(hold)
for i = 5, #KEYS, 2 do
  local start, length = tonumber(ARGV[i + 3]), tonumber(ARGV[i + 4])
  call('SETRANGE', KEYS[i], start * 16, rep(sold, length))
  paint(KEYS[i + 1], start, length, 2)
end
call('ZREM', KEYS[4], hold)
local _, kept = others(call('HGET', KEYS[3], user), hold, clock())
call('HSET', KEYS[3], user, kept .. hold .. ':' .. ARGV[6] .. ':0;')
if prior and not ended then call('SET', KEYS[2], 'S' .. sub(prior, 2), 'PX', ARGV[5]) end
return {'ok'}
`;

// Frees the seats of a run that carry this hold. With a list: general admission, whose places go back there.
const freeing = `${painting}
local function keep(people, user, entries)
  if entries == '' then call('HDEL', people, user) else call('HSET', people, user, entries) end
end
local function free_run(records, map, list, start, length, own, now, sold_too)
  local there = call('GETRANGE', records, start * 16, (start + length) * 16 - 1)
  local freed, from = 0, nil
  for seat = 0, length do
    local state = seat < length and byte(there, seat * 16 + 1)
    local mine = state and sub(there, seat * 16 + 9, seat * 16 + 16) == own
    if mine and (state == 1 and (not now or unpack_at('>I6', there, seat * 16 + 3) <= now) or (state == 2 and sold_too)) then
      from = from or seat
      freed = freed + 1
      if list then call('RPUSH', list, start + seat) end
    elseif from then
      call('SETRANGE', records, (start + from) * 16, rep(free, seat - from))
      paint(map, start + from, seat - from, 0)
      from = nil
    end
  end
  return freed
end
`;

// KEYS: 1 marker, 2 hold, 3 people, 4 holds by expiry; from 5, for each run: records, map, places given back.
// ARGV: 1 epoch, 2 hold, 3 user, 4 "hold" (what is held; only while open) or "claim" (what is sold too), 5 memory,
// 6 "1" when the hold has ended with it; from 7, for each run: start, length, "1" in general admission.
const release = `${head}${counting}${freeing}
local seen = call('MGET', KEYS[1], KEYS[2])
local epoch, state = string.match(seen[1] or '', '^(%d+)|(%a+)')
if epoch ~= ARGV[1] or (ARGV[4] == 'hold' and state ~= 'open') then return {'stale'} end
local hold, user, prior = ARGV[2], ARGV[3], seen[2]
local sold_too = ARGV[4] == 'claim'
if not sold_too and prior and sub(prior, 1, 1) == 'S' then return {'ok', 0} end
local own, freed = raw(hold), 0
for i = 5, #KEYS, 3 do
  local list = ARGV[i + 4] == '1' and KEYS[i + 2] or nil
  freed = freed + free_run(KEYS[i], KEYS[i + 1], list, tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3]), own, nil, sold_too)
end
local entries = call('HGET', KEYS[3], user)
if entries then
  local _, kept, has, expiry = others(entries, hold, clock())
  if has > freed and ARGV[6] ~= '1' then kept = kept .. hold .. ':' .. (has - freed) .. ':' .. expiry .. ';' end
  keep(KEYS[3], user, kept)
end
if ARGV[6] == '1' then
  call('ZREM', KEYS[4], hold)
  call('SET', KEYS[2], 'X|0', 'PX', ARGV[5])
end
return {'ok', freed}
`;

// Clears away holds that have expired. KEYS: 1 marker, 2 holds by expiry, 3 people.
// ARGV: 1 marker, 2 "{event}:", 3 "{event}:<epoch>:", 4 most, 5 memory.
const sweep = `${head}${counting}${freeing}
if call('GET', KEYS[1]) ~= ARGV[1] then return {'stale'} end
local now = clock()
local due = call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, ARGV[4])
for _, hold in ipairs(due) do
  local key = ARGV[2] .. 'h:' .. hold
  local user, runs = string.match(call('GET', key) or '', '^H|%d+|%d+|%d+|([^|]*)|(.*)$')
  if runs then
    local own = raw(hold)
    for tilde, section, start, length in string.gmatch(runs, '(~?)(%w+):(%d+):(%d+)') do
      local list = tilde ~= '' and ARGV[3] .. 'g:' .. section or nil
      free_run(ARGV[3] .. 'r:' .. section, ARGV[3] .. 'm:' .. section, list, tonumber(start), tonumber(length), own, now, false)
    end
    local entries = call('HGET', KEYS[3], user)
    if entries then
      local _, kept = others(entries, hold, now)
      keep(KEYS[3], user, kept)
    end
    call('SET', key, 'X|0', 'PX', ARGV[5])
  end
  call('ZREM', KEYS[2], hold)
end
return {'ok', #due}
`;

// ---- a new generation (see generation.ts)

// The new epoch takes over, closed, if none as new has. KEYS: 1 marker. ARGV: 1 epoch, 2 the new marker.
const begin = `
local now_there = redis.call('GET', KEYS[1])
if now_there and tonumber(string.match(now_there, '^%d+')) >= tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1
`;

// Brings holds that have survived into the new epoch, where their seats are free. KEYS: 1 marker, 2 holds by expiry, 3 people,
// all of the new epoch. ARGV: 1 marker, 2 epoch, 3 "{event}:", 4 "{event}:<epoch>:", 5 memory; then holds.
const adopt = `${head}${painting}${counting}
if call('GET', KEYS[1]) ~= ARGV[1] then return {'stale'} end
local now, adopted = clock(), 0
for i = 6, #ARGV do
  local hold = ARGV[i]
  local key = ARGV[3] .. 'h:' .. hold
  local epoch, deadline, expiry, user, runs = string.match(call('GET', key) or '', '^H|(%d+)|(%d+)|(%d+)|([^|]*)|(.*)$')
  if epoch and epoch ~= ARGV[2] and tonumber(expiry) > now then
    local all_free, seats = true, 0
    for section, start, length in string.gmatch(runs, '(%w+):(%d+):(%d+)') do
      local there = call('GETRANGE', ARGV[4] .. 'r:' .. section, start * 16, (start + length) * 16 - 1)
      all_free = all_free and there == rep(free, tonumber(length))
      seats = seats + length
    end
    if all_free then
      local held = pack('>BxI6', 1, tonumber(expiry)) .. raw(hold)
      for section, start, length in string.gmatch(runs, '(%w+):(%d+):(%d+)') do
        call('SETRANGE', ARGV[4] .. 'r:' .. section, start * 16, rep(held, tonumber(length)))
        paint(ARGV[4] .. 'm:' .. section, tonumber(start), tonumber(length), 1)
      end
      local _, kept = others(call('HGET', KEYS[3], user), hold, now)
      call('HSET', KEYS[3], user, kept .. hold .. ':' .. seats .. ':' .. expiry .. ';')
      call('ZADD', KEYS[2], expiry, hold)
      call('SET', key, 'H|' .. ARGV[2] .. '|' .. deadline .. '|' .. expiry .. '|' .. user .. '|' .. runs, 'PX', expiry - now + ARGV[5])
      adopted = adopted + 1
    end
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

// A lock is its holder's as long as it carries his token. KEYS: 1 lock. ARGV: 1 token, 2 ms ("0": give it back).
const renewLock = `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '0' then redis.call('DEL', KEYS[1]) else redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 1
`;

export const scripts = {
  hold,
  holdPlaces,
  fence,
  settle,
  release,
  sweep,
  begin,
  adopt,
  open,
  close,
  renewLock,
} as const;
