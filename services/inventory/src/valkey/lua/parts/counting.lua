-- A person's entries, which hall/seat-map.ts describes.

-- Entries without this hold's; then what that one said: seats, deadline, expiry, code, runs.
local function apart(entries, own)
  local at = 1
  while entries and at <= #entries do
    local id, seats, deadline, expiry, code, runs, after = unpack_at('>c8BI6I6Bc0Hc0', entries, at)
    if id == own then return sub(entries, 1, at - 1) .. sub(entries, after), seats, deadline, expiry, code, runs end
    at = after
  end
  return entries or ''
end
local function entry(own, seats, deadline, expiry, code, runs)
  return own .. pack('>BI6I6Bc0Hc0', seats, deadline, expiry, #code, code, #runs, runs)
end
local function keep(people, user, entries)
  if entries == '' then call('HDEL', people, user) else call('HSET', people, user, entries) end
end
local function count(codes, code, seats)
  if code ~= '' and seats ~= 0 then call('HINCRBY', codes, code, seats) end
end
