-- Claims each key that is free, holds this claim already, or holds the claim to take over.
-- ARGV: the claim's identity; then for each key the identity to take over, empty where the key must be free.
-- Returns the time, then for each key 'W' where it is won, else its value.
local t = redis.call('TIME')
local now = string.format('%013.0f', t[1] * 1000 + math.floor(t[2] / 1000))
local found = redis.call('MGET', unpack(KEYS))
local out = {now}
for i, key in ipairs(KEYS) do
  local value, instead = found[i], ARGV[1 + i]
  local free = not value
  if value and value:sub(1, 1) == 'C' then
    local identity = value:sub(15)
    if identity == ARGV[1] then
      out[1 + i] = 'W'
    elseif instead ~= '' and identity == instead then
      free = true
    end
  end
  if free then
    redis.call('SET', key, 'C' .. now .. ARGV[1])
    out[1 + i] = 'W'
  elseif not out[1 + i] then
    out[1 + i] = value
  end
end
return out
