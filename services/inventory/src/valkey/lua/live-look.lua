-- Who writes an event's changes, and which was the last?
-- KEYS: 1 marker, 2 lock, 3 head, 4 snapshot, 5 log.
-- ARGV: 1 marker, 2 token, 3 ms that the lock lasts, 4 ms that the rest is kept.
-- Answers: {'ok', 1 when it is this token that writes, the head or ''}; {'stale'} when another generation is there.

local seen = redis.call('MGET', KEYS[1], KEYS[2], KEYS[3])
if seen[1] ~= ARGV[1] then return {'stale'} end
if seen[2] and seen[2] ~= ARGV[2] then
  if redis.call('PTTL', KEYS[2]) > tonumber(ARGV[3]) then redis.call('PEXPIRE', KEYS[2], ARGV[3]) end -- as in takeLock
  return {'ok', 0, seen[3] or ''}
end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
for i = 3, 5 do redis.call('PEXPIRE', KEYS[i], ARGV[4]) end
return {'ok', 1, seen[3] or ''}
