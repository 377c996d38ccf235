-- Writes what the tables say, as of a time; what says the same already keeps its time. No dead letter takes the place of a row,
-- or of a claim since then.
-- ARGV: the identity that the server must have; the window in milliseconds; the time; then each key's value.
-- Returns the time, then '' for each key.
if identity() ~= ARGV[1] then
  return epoch()
end
-- A value is its kind, a byte that counts redrives, and a hash of seven bytes.
local UNKNOWN = string.rep('\0', 7)
local found, hashes = look()
local out, values = {clock}, {}
for at = 1, events do
  local stands, new = found[at], ARGV[3 + at]
  local same = stands and (stands == new or (stands:sub(1, 1) == new:sub(1, 1) and new:sub(3) == UNKNOWN
    and stands:byte(2) >= new:byte(2)))
  local kind = stands and new:sub(1, 1) == 'X' and stands:sub(1, 1)
  local newer = kind == 'D' or (kind == 'C' and stands:sub(2, 14) > ARGV[3])
  if not (same or newer) then
    values[at] = new
  end
  out[1 + at] = ''
end
pack(values, tonumber(ARGV[2]), found, hashes)
return out
