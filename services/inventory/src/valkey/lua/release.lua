#!lua flags=allow-oom
-- Frees the seats that carry this hold. Works where Valkey is full.
-- KEYS: 1 marker, 2 this hold when it has ended, 3 people, 4 (none), 5 codes; then for each run: records, map, places given back.
-- ARGV: 1 epoch, 2 hold, 3 user, 4 "hold" (what is held, by this user; only while open) or "claim" (what is sold too), 5 memory, 6
-- "1" when the hold has ended with it, 7 code, if it is known; then for each run: start, length, "1" in general admission.
-- Answers: {'ok', seats freed}; {'stale'} when another generation is there, or it is closed.

-- include head
-- include counting
-- include freeing
-- include naming
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
