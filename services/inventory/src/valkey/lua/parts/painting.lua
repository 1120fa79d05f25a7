-- Bit fields count from a byte's highest bit, seats from its lowest: so one field for the rest of a byte, one for whole bytes (6 at
-- most, since Lua counts exactly to 2^53 only), one for the begun byte.
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
