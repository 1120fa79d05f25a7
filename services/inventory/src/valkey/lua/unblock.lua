#!lua flags=allow-oom
-- Frees the seats that carry this block.
-- KEYS and ARGV as in block.
-- Answers: {'ok', seats freed}; {'stale'} when another generation is there.

-- include head
-- include freedom
-- include painting
-- include naming
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
