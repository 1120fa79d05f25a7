-- Seats get another pool, in whichever state they are.
-- KEYS: 1 marker, 2 version; from 3, for each run: records, map, next place, places given back.
-- ARGV: 1 epoch, 2 version of the channels, 3 pool; from 4, for each run: start, length, "1" in general admission.
-- Answers: {'ok'}; {'old'} when a newer version has begun; {'stale'} when another generation is there.

-- include head
-- include freedom
-- include painting
-- include breaking
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
