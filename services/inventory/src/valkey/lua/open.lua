-- The new epoch is there to be used.
-- KEYS: 1 marker, then all keys of the new epoch.
-- ARGV: 1 the marker, closed, 2 the marker, open.
-- Answers: 1, or 0 when another epoch has taken over.

if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
for i = 2, #KEYS do redis.call('PERSIST', KEYS[i]) end
redis.call('SET', KEYS[1], ARGV[2])
return 1
