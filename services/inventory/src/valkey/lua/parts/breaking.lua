-- The marker is right and seats are missing: someone deleted or evicted them. Nobody may use the rest.
local function broken(marker)
  call('SET', marker, (string.gsub(call('GET', marker), '|open|', '|closed|')))
  return {'stale'}
end
