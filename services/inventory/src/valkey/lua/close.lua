-- Seats are missing though the marker is right: see broken.
-- KEYS: 1 marker.
-- ARGV: 1 marker, open, 2 marker, closed.
-- Answers: nothing.

if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('SET', KEYS[1], ARGV[2]) end
