#!lua flags=allow-oom
-- The claim is in MongoDB: seats become sold, whoever had them. In the keys of the marker's epoch, open or closed.
-- KEYS as in fence.
-- ARGV: 1 epoch, 2 hold, 3 user, 4 "1" when MongoDB was asked just now, so that an ended hold does not matter, 5 seats that the
-- user owns by this hold, 6 code, if it is known, 7 runs; then for each run: start, length.
-- Answers: {'ok'}; {'ended'} when this hold has; {'stale'} when another generation is there.

-- include head
-- include painting
-- include counting
-- include naming
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
