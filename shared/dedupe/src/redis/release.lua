-- Removes exactly this claim from each key that holds it.
-- ARGV: the claim's identity.
local found = redis.call('MGET', unpack(KEYS))
for i, key in ipairs(KEYS) do
  local value = found[i]
  if value and value:sub(1, 1) == 'C' and value:sub(15) == ARGV[1] then
    redis.call('DEL', key)
  end
end
return 1
