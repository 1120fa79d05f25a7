-- Frees the seats of a run that carry this hold. With a list: general admission, whose places go back there.
-- include freedom
-- include painting
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
