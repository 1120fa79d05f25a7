#!lua
-- Takes these seats for a person, all or none. Refused before it does anything where Valkey is full.
-- KEYS: 1 marker, 2 this hold when it has ended, 3 people, 4 queue; then for each run: records, map; with a code, last: codes.
-- ARGV: 1 marker, 2 hold, 3 user, 4 limit, 5 ttl, 6 margin, 7 sale opens, 8 sale ends, 9 pool, 10 runs; then for each run: start,
-- length; with a code, last: the code, its limit ("0": none).
-- Answers: {'held', deadline}; {'known', deadline, expiry, runs, now} of this hold as it is, or {'known'} when it has ended;
-- {'reused'}; {'taken', places among the seats asked for: the person's own as -1 - place}; {'limit', has}; {'code-limit', used};
-- {'early'}; {'over'}; {'stale'} when another generation is there.

-- include head
local seen = call('MGET', KEYS[1], KEYS[2])
if seen[1] ~= ARGV[1] then return {'stale'} end
if seen[2] then return {'known'} end
-- include timing
local hold, user, pool = ARGV[2], ARGV[3], tonumber(ARGV[9])
local own = pack('>I4I4', tonumber(sub(hold, 1, 8), 16), tonumber(sub(hold, 9, 16), 16))
local last = #KEYS - #KEYS % 2
local free = pack('>BBI6I8', 0, pool, 0, 0)
-- include hold-is-counted
if now < tonumber(ARGV[7]) then return {'early'} end
if now >= tonumber(ARGV[8]) then return {'over'} end
local taken, wanted = nil, 0
for i = 5, last, 2 do
  local start, length = ARGV[i + 6] * 16, tonumber(ARGV[i + 7])
  local there = call('GETRANGE', KEYS[i], start, start + length * 16 - 1)
  if there ~= rep(free, length) then
    if #there ~= length * 16 then
      -- include is-broken
    end
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
-- include hold-is-kept
-- include painting
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
