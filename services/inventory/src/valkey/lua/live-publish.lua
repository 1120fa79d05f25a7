-- The next version, if the one before is still the last: whoever writes has seen all that were written.
-- KEYS: 1 marker, 2 head, 3 snapshot, 4 log.
-- ARGV: 1 marker, 2 the head before, 3 the head, 4 snapshot, 5 change ("": a log of its own begins), 6 version, 7 the oldest
-- version to keep, 8 ms that all is kept, 9 channel.
-- Answers: {'ok'}; {'overtaken'}; {'stale'} when another generation is there.

local seen = redis.call('MGET', KEYS[1], KEYS[2])
if seen[1] ~= ARGV[1] then return {'stale'} end
if (seen[2] or '') ~= ARGV[2] then return {'overtaken'} end
redis.call('SET', KEYS[2], ARGV[3], 'PX', ARGV[8])
redis.call('SET', KEYS[3], ARGV[4], 'PX', ARGV[8])
if ARGV[5] == '' then
  redis.call('DEL', KEYS[4])
else
  redis.call('XADD', KEYS[4], 'MINID', ARGV[7], ARGV[6], 'c', ARGV[5])
  redis.call('PEXPIRE', KEYS[4], ARGV[8])
end
redis.call('PUBLISH', ARGV[9], ARGV[3] .. '\n' .. ARGV[5])
return {'ok'}
