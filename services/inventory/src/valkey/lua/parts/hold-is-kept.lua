-- Until when the hold is the buyer's, and what its seats carry.
local deadline = now + ARGV[5]
local expiry = deadline + ARGV[6]
local held = pack('>BBI6', 1, pool, expiry) .. own
