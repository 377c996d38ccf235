-- Marks each key as done, whatever it says; one that is done already keeps its time.
-- ARGV: the identity of the claim that the rows were written under; the window in milliseconds; then each key's value.
-- Returns the time, then for each key '' or the value that contradicts a committed row.
local t = redis.call('TIME')
local now = string.format('%013.0f', t[1] * 1000 + math.floor(t[2] / 1000))
local found = redis.call('MGET', unpack(KEYS))
local out = {now}
for i, key in ipairs(KEYS) do
  local value = found[i]
  local kind = value and value:sub(1, 1)
  if kind ~= 'D' then
    redis.call('SET', key, ARGV[2 + i], 'PX', ARGV[2])
  end
  if not value or kind == 'D' or (kind == 'C' and value:sub(15) == ARGV[1]) then
    out[1 + i] = ''
  else
    out[1 + i] = value
  end
end
return out
