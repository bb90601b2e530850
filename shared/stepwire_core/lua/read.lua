-- Reads a session from a cursor: the events after it, or, when the log cannot continue from there, the
-- folded state. One call, so both are true at one instant.
--
-- KEYS  log, state, meta, open
-- ARGV  epoch, seq of the cursor, or '' ''; the most events to return; the bytes after which no more are
--
-- Returns {'log', epoch, top, {entries}}, {'state', epoch, top, {field, value …}, {stream, text …}},
--         or {'unknown'}.

local PIECE = 50
local base = string.sub(KEYS[1], 1, -4)
local epoch, top = unpack(redis.call('HMGET', KEYS[3], 'epoch', 'seq'))
if not epoch then return {'unknown'} end

local seq = tonumber(ARGV[2])
if ARGV[1] == epoch then
  if seq == tonumber(top) then return {'log', epoch, top, {}} end
  local from = epoch .. '-' .. string.format('%.0f', seq + 1)
  local entries, size, place, most = {}, 0, from, tonumber(ARGV[3])
  repeat
    -- In pieces: who asks for few bytes must not make the server copy all that many events.
    local some = redis.call('XRANGE', KEYS[1], place, '+', 'COUNT', math.min(PIECE, most - #entries))
    for _, entry in ipairs(some) do
      entries[#entries + 1] = entry
      size = size + #entry[2][6]
      if size >= tonumber(ARGV[4]) then break end
    end
    if not entries[1] or entries[1][1] ~= from then break end
    place = '(' .. entries[#entries][1]
  until #some < PIECE or #entries >= most or size >= tonumber(ARGV[4])
  if entries[1] and entries[1][1] == from then return {'log', epoch, top, entries} end
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
