-- All pools are as they should be in this version.
-- KEYS: 1 marker, 2 version.
-- ARGV: 1 epoch, 2 version.
-- Answers: {'ok'}; {'stale'} when another generation is there.

local seen = redis.call('MGET', KEYS[1], KEYS[2])
if not seen[1] or string.match(seen[1], '^%d+') ~= ARGV[1] then return {'stale'} end
local begun = string.match(seen[2] or '0:0', '^(%d+):')
if tonumber(begun) <= tonumber(ARGV[2]) then redis.call('SET', KEYS[2], ARGV[2] .. ':' .. ARGV[2]) end
return {'ok'}
