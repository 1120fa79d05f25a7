-- Free seats of any pool become blocked, all or none; those that carry this block already are fine. In the keys of the marker's
-- epoch, open or closed.
-- KEYS: 1 marker; from 2, for each run: records, map.
-- ARGV: 1 epoch, 2 block; from 3, for each run: start, length.
-- Answers: {'ok'}; {'taken', places among the seats asked for}; {'stale'} when another generation is there.

-- include head
-- include painting
-- include breaking
-- include naming
local marker = call('GET', KEYS[1])
if not marker or string.match(marker, '^%d+') ~= ARGV[1] then return {'stale'} end
-- include timing
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
