-- What the counter of a session's bytes counts: each value, and ENTRY for what an entry costs in Redis beside its value.

local RUN = 2 * ENTRY -- the fence of a run, and a request to cancel it

-- How much the counter grows when a value of `before` bytes has `after` of them; 0 stands for a missing value.
local function growth(before, after)
  local entries = 0
  if after > 0 then entries = entries + ENTRY end
  if before > 0 then entries = entries - ENTRY end
  return after - before + entries
end
