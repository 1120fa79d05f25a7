-- A lock for so long, if nobody has it. One that lasts longer than any is taken for was taken before the server's clock went back:
-- from now on it lasts as long as one that is taken now.
-- KEYS: 1 lock.
-- ARGV: 1 token, 2 ms.
-- Answers: 1, or 0.

if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 1 end
if redis.call('PTTL', KEYS[1]) > tonumber(ARGV[2]) then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 0
