-- Compare-and-set of one key.
-- ARGV: the generation; what must stand: empty for nothing, 'C' and a claim's identity, else how the value begins; the new
-- value, a claim without its time; its window in milliseconds, 0 where it is undecided.
-- Returns the time, and 'Y' or the value that stands, false where none does.
if not guarded(ARGV[1]) then
  return epoch()
end
local found, hashes = look()
local value, expected, new = found[1], ARGV[2], ARGV[3]
local holds
if expected == '' then
  holds = not value
elseif not value then
  holds = false
elseif expected:sub(1, 1) == 'C' then
  holds = value:sub(1, 1) == 'C' and claimant(value) == expected:sub(2)
else
  holds = value:sub(1, #expected) == expected
end
if not holds then
  return {clock, value}
end
if new:sub(1, 1) == 'C' then
  new = 'C' .. clock .. new:sub(2)
end
if ARGV[4] == '0' then
  if hashes[1] then
    local _, field = place_of(1)
    redis.call('HDEL', hashes[1], field)
  end
  redis.call('SET', KEYS[3], new)
else
  pack({new}, tonumber(ARGV[4]), found, hashes)
end
return {clock, 'Y'}
