-- A lock is its holder's as long as it carries his token.
-- KEYS: 1 lock.
-- ARGV: 1 token, 2 ms ("0": give it back).
-- Answers: 1, or 0.

if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '0' then redis.call('DEL', KEYS[1]) else redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 1
