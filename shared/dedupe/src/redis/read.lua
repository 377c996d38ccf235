-- Returns the time, then each key's value, false where it has none.
local out = {clock}
for at, value in ipairs((look())) do
  out[1 + at] = value
end
return out
