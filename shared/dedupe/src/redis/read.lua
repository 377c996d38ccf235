-- Returns the time, then each key's value, false where it has none.
local t = redis.call('TIME')
local out = {string.format('%013.0f', t[1] * 1000 + math.floor(t[2] / 1000))}
for i, value in ipairs(redis.call('MGET', unpack(KEYS))) do
  out[1 + i] = value
end
return out
