-- Reads a session from a cursor: the events after it, or, when the log cannot continue from there, the
-- folded state. One call, so both are true at one instant.
--
-- KEYS  log, state, meta, open
-- ARGV  epoch, seq of the cursor, or '' ''; the most events to return; the bytes after which no more are
--
-- Returns {'log', epoch, top, {entries}}, {'state', epoch, top, {field, value …}, {stream, text …}},
--         or {'unknown'}.

local base = string.sub(KEYS[1], 1, -4)
local epoch, top = unpack(redis.call('HMGET', KEYS[3], 'epoch', 'seq'))
if not epoch then return {'unknown'} end

local seq = tonumber(ARGV[2])
if ARGV[1] == epoch then
  if seq == tonumber(top) then return {'log', epoch, top, {}} end
  local from = epoch .. '-' .. string.format('%.0f', seq + 1)
  local entries = redis.call('XRANGE', KEYS[1], from, '+', 'COUNT', ARGV[3])
  if entries[1] and entries[1][1] == from then
    local size, last = 0, #entries
    for i = 1, last do
      size = size + #entries[i][2][6]
      if size >= tonumber(ARGV[4]) then
        for j = last, i + 1, -1 do entries[j] = nil end
        break
      end
    end
    return {'log', epoch, top, entries}
  end
end

local streams = {}
for _, member in ipairs(redis.call('SMEMBERS', KEYS[4])) do
  local text = redis.call('GET', base .. 'out:' .. member)
  if text then
    streams[#streams + 1] = member
    streams[#streams + 1] = text
  end
end
return {'state', epoch, top, redis.call('HGETALL', KEYS[2]), streams}
