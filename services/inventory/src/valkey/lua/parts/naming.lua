-- A hold's id of 16 hex digits as the 8 bytes that records carry.
local function raw(hold) return pack('>I4I4', tonumber(sub(hold, 1, 8), 16), tonumber(sub(hold, 9, 16), 16)) end
