-- Writes the time to the slot's canary, of a server that was adopted: on another, the last beat says where its data was cut.
-- KEYS: the slot's index of pages, its generation, its canary.
local id = (redis.call('GET', KEYS[2]) or ''):match('^(%w+) ')
if not id or id ~= identity() then
  return epoch()
end
local t = redis.call('TIME')
redis.call('SET', KEYS[3], string.format('%013.0f', t[1] * 1000 + math.floor(t[2] / 1000)))
return 1
