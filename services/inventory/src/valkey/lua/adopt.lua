-- Brings people's holds that have survived into the new epoch, where their seats are free.
-- KEYS: 1 marker, 2 people, 3 late holds, 4 codes, all of the new epoch, 5 people of the earlier one.
-- ARGV: 1 marker, 2 "{event}:", 3 "{event}:<epoch>:"; then users.
-- Answers: {'ok', holds brought}; {'stale'} when another generation is there.

-- include head
-- include painting
-- include counting
if call('GET', KEYS[1]) ~= ARGV[1] then return {'stale'} end
-- include timing
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
