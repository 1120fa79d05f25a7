-- The record of a free seat of a pool.
local function free_in(pool) return '\0' .. string.char(pool) .. rep('\0', 14) end
-- What the map says of a free seat: one that is a channel's is not for everybody.
local function shown(pool) return pool == 0 and 0 or 3 end
