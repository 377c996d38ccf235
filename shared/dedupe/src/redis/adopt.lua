-- Declares the slot's data complete for a generation, unless the server is another, or the generation is over, or was
-- adopted of another server: that one's claims may be missing here.
-- ARGV: the identity; the generation.
-- Returns 1 where it is declared.
if identity() ~= ARGV[1] then
  return 0
end
local id, generation = (redis.call('GET', KEYS[2]) or ''):match('^(%w+) (%d+)$')
if id then
  local over = tonumber(generation) - tonumber(ARGV[2])
  if over > 0 or (over == 0 and id ~= ARGV[1]) then
    return 0
  end
end
redis.call('SET', KEYS[2], ARGV[1] .. ' ' .. ARGV[2])
return 1
