-- KEYS: the slot's index of pages, its generation, its canary.
-- Returns the time; the server's identity, what was adopted, the last beat: false where there is none.
local t = redis.call('TIME')
return {
  string.format('%013.0f', t[1] * 1000 + math.floor(t[2] / 1000)),
  identity() or false, redis.call('GET', KEYS[2]), redis.call('GET', KEYS[3]),
}
