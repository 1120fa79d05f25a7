-- Only what a script uses is in it: each function costs a little at every call. Times are numbers of 13 digits, which Lua writes exactly.
local call, sub, byte, rep, pack, unpack_at = redis.call, string.sub, string.byte, string.rep, struct.pack, struct.unpack
