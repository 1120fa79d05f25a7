-- What a person has; or, when this hold is known, what is known of it.
local entries = call('HGET', KEYS[3], user)
local has, at = 0, 1
while entries and at <= #entries do
  local id, seats, until_when, expiry, _, runs
  id, seats, until_when, expiry, _, runs, at = unpack_at('>c8BI6I6Bc0Hc0', entries, at)
  if id == own then return {'known', until_when, expiry, runs, now} end
  if expiry == 0 or expiry > now then has = has + seats end
end
