-- Removes exactly this claim from each key that holds it.
-- ARGV: the claim's identity.
-- Returns the time, then '' for each key.
local found = redis.call('MGET', unpack(KEYS, 3))
local out = {clock}
for at = 1, events do
  local value = found[at]
  if value and value:sub(1, 1) == 'C' and claimant(value) == ARGV[1] then
    redis.call('DEL', KEYS[2 + at])
  end
  out[1 + at] = ''
end
return out
