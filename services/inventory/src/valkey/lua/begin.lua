-- The new epoch takes over, closed, if none as new has.
-- KEYS: 1 marker.
-- ARGV: 1 epoch, 2 the new marker.
-- Answers: 1, or 0.

local now_there = redis.call('GET', KEYS[1])
if now_there and tonumber(string.match(now_there, '^%d+')) >= tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1
