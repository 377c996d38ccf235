-- Claims each key that is free, holds this claim already, or holds the claim to take over.
-- ARGV: the generation; the claim's identity; then for each key the hash that is kept with the claim, of 8 bytes, and the
-- identity to take over, empty where the key must be free.
-- Returns the time, then for each key 'W' where it is won, else its value.
if not guarded(ARGV[1]) then
  return epoch()
end
local found = look()
local mine, out, won = ARGV[2], {clock}, {}
for at = 1, events do
  local value, payload, instead = found[at], ARGV[2 + at]:sub(1, 8), ARGV[2 + at]:sub(9)
  local free = not value
  if value and value:sub(1, 1) == 'C' then
    local identity = claimant(value)
    if identity == mine then
      out[1 + at] = 'W'
    elseif instead ~= '' and identity == instead then
      free = true
    end
  end
  if free then
    won[#won + 1] = KEYS[2 + at]
    won[#won + 1] = 'C' .. clock .. mine .. '\0' .. payload
    out[1 + at] = 'W'
  elseif not out[1 + at] then
    out[1 + at] = value
  end
end
if #won > 0 then
  redis.call('MSET', unpack(won))
end
return out
