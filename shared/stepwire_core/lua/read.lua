-- Reads a session from a cursor: the events after it, or, when the log cannot continue from there, the
-- folded state. One call, so both are true at one instant.
--
-- KEYS  log, state, meta, open
-- ARGV  epoch, seq of the cursor, or '' ''; the most entries to return; the bytes after which no more are
--
-- Returns {'log', epoch, top, {entries, as append.lua describes them; the first may begin before the cursor}}, {'state', epoch, top, {field, value …}, {stream, text …}},
--         or {'unknown'}.

local PIECE = 50
local base = string.sub(KEYS[1], 1, -4)
local epoch, top, tail = unpack(redis.call('HMGET', KEYS[3], 'epoch', 'seq', 'tail'))
if not epoch then return {'unknown'} end

local seq, most, most_bytes = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])

-- The first event of an entry. Its id is that of the last.
local function first_of(entry)
  local kind, run = entry[2][2], entry[2][4]
  return tonumber(kind == '' and run or string.match(entry[1], '%d+$'))
end

-- What would be the next entry, see append.lua.
local function entry_of_tail()
  local lines = tail and tail ~= '' and redis.call('GET', base .. 'tail')
  if not lines then return nil end
  local _, count = string.gsub(lines, '\n', '')
  local _, letters = string.gsub('\n' .. lines, '\n=', '')
  -- A line that is missing shows as a gap.
  if count - letters ~= top - tail + 1 then return nil end
  return {epoch .. '-' .. top, {'t', '', 'r', tail, 'd', lines}}
end

if ARGV[1] == epoch then
  if seq == tonumber(top) then return {'log', epoch, top, {}} end
  local entries, size, place, ended = {}, 0, epoch .. '-' .. string.format('%.0f', seq + 1), false
  repeat
    -- In pieces: who asks for few bytes must not make the server copy all that many events.
    local wanted = math.min(PIECE, most - #entries)
    local some = redis.call('XRANGE', KEYS[1], place, '+', 'COUNT', wanted)
    ended = #some < wanted
    for _, entry in ipairs(some) do
      entries[#entries + 1] = entry
      size = size + #entry[2][6]
      if size >= most_bytes then break end
    end
    if entries[1] and first_of(entries[1]) > seq + 1 then break end
    if entries[1] then place = '(' .. entries[#entries][1] end
  until ended or #entries >= most or size >= most_bytes
  if ended and size < most_bytes then entries[#entries + 1] = entry_of_tail() end
  if entries[1] and first_of(entries[1]) <= seq + 1 then return {'log', epoch, top, entries} end
end

local streams = {}
for _, member in ipairs(redis.call('HKEYS', KEYS[4])) do
  local text = redis.call('GET', base .. 'out:' .. member)
  if text then
    streams[#streams + 1] = member
    streams[#streams + 1] = text
  end
end
return {'state', epoch, top, redis.call('HGETALL', KEYS[2]), streams}
