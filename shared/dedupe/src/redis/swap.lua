-- Compare-and-set of one key.
-- ARGV: what must stand: empty for nothing, 'C' and a claim's identity, else how the value begins; the new value; its time
-- in milliseconds, 0 for ever.
-- Returns the time, and 'Y' or the value that stands, false where none does.
local t = redis.call('TIME')
local now = string.format('%013.0f', t[1] * 1000 + math.floor(t[2] / 1000))
local value, expected = redis.call('GET', KEYS[1]), ARGV[1]
local holds
if expected == '' then
  holds = not value
elseif not value then
  holds = false
elseif expected:sub(1, 1) == 'C' then
  holds = value:sub(1, 1) == 'C' and value:sub(15) == expected:sub(2)
else
  holds = value:sub(1, #expected) == expected
end
if not holds then
  return {now, value}
end
if ARGV[3] == '0' then
  redis.call('SET', KEYS[1], ARGV[2])
else
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
end
return {now, 'Y'}
