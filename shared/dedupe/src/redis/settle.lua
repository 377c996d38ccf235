-- Marks each key as done, whatever it says; one that is done already keeps its time.
-- ARGV: the identity of the claim that the rows were written under; the window in milliseconds; then each key's value.
-- Returns the time, then for each key '' or the value that contradicts a committed row.
local found, hashes = look()
local out, done = {clock}, {}
for at = 1, events do
  local value = found[at]
  local kind = value and value:sub(1, 1)
  if kind ~= 'D' then
    done[at] = ARGV[2 + at]
  end
  if not value or kind == 'D' or (kind == 'C' and claimant(value) == ARGV[1]) then
    out[1 + at] = ''
  else
    out[1 + at] = value
  end
end
pack(done, tonumber(ARGV[2]), found, hashes)
return out
