-- Reads a session from a cursor: the events after it, or, when the log cannot continue from there, the
-- folded state. One call, so both are true at one instant.
--
-- KEYS  log, state, meta, open
-- ARGV  after_epoch, after_seq  the cursor, or '' ''
--       most_events, most_bytes the most events to return; the bytes after which no more are
--       suffix                  what the names of channels end in
--       how                     'pieces' if a large state is to be read in pieces, 'streams' if the events are what
--                               followed these (see pieces.py), or 'whole'
--
-- Returns {'log', epoch, top, {entries}}, and {stream, text …} behind it if that is asked for and these are the last;
--         {'large', epoch, top, fields, bytes}: a state that is to be read in pieces;
--         {'state', epoch, top, {field, value …}, {stream, text …}}, or {'unknown'}.
--         What is in an entry, append.lua says; the first may begin before the cursor, and if it alone holds too many
--         events, it is the only one.

local AT_ONCE, FIELDS, BYTES = 50, 500, 1024 * 1024
local base = base_of(KEYS)
local epoch, top, tail, v, steps = unpack(redis.call('HMGET', KEYS[3], 'epoch', 'seq', 'tail', 'v', 'steps'))
if not epoch then return {'unknown'} end

local seq = tonumber(after_seq)
most_events, most_bytes = tonumber(most_events), tonumber(most_bytes)

-- What would be the next entry, see append.lua.
local function entry_of_tail()
  if not tail or tail == '' then return nil end
  local lines = redis.call('GET', base .. 'tail')
  if not lines or pieces_in(lines) ~= top - tail + 1 then return nil end
  return {epoch .. '-' .. top, {'t', '', 'r', tail, 'd', lines}}
end

local function streams()
  local texts = {}
  for _, member in ipairs(redis.call('HKEYS', KEYS[4])) do
    local text = redis.call('GET', base .. 'out:' .. member)
    if text then
      texts[#texts + 1] = member
      texts[#texts + 1] = text
    end
  end
  return texts
end

-- Those of the instant of the last event, where that is the last one returned.
local function streams_if_wanted()
  if how == 'streams' and seq == tonumber(top) then return streams() end
  return nil
end

-- A cursor ahead of the top has seen what this server has lost.
if after_epoch == epoch and seq <= tonumber(top) then
  if seq == tonumber(top) then return {'log', epoch, top, {}, streams_if_wanted()} end
  local entries, size, events = {}, 0, 0

  -- Takes an entry if it goes on where the one before ends: a tail that was lost leaves a hole. Returns whether there may
  -- be room for the next.
  local function take(entry)
    local last, kind, run = tonumber(string.match(entry[1], '%d+$')), entry[2][2], entry[2][4]
    local first = last
    if kind == '' then first = tonumber(run) end
    if first > seq + 1 or (entries[1] and first ~= seq + 1) then return false end
    if entries[1] and events + last - seq > most_events then return false end
    entries[#entries + 1] = entry
    events, seq, size = events + last - seq, last, size + #entry[2][6]
    return events < most_events and size < most_bytes
  end

  local from, more = epoch .. '-' .. string.format('%.0f', seq + 1), true
  repeat
    -- Not all at once: who asks for few bytes must not make the server copy all that many events.
    local some = redis.call('XRANGE', KEYS[1], from, '+', 'COUNT', AT_ONCE)
    for _, entry in ipairs(some) do
      if more then more = take(entry) end
    end
    from = '(' .. epoch .. '-' .. string.format('%.0f', seq)
  until not more or #some < AT_ONCE
  if more then
    local newest = entry_of_tail()
    if newest then take(newest) end
  end
  if entries[1] then
    return {'log', epoch, top, entries, streams_if_wanted()}
  end
end

local fields, bytes = redis.call('HLEN', KEYS[2]), tonumber(redis.call('HGET', KEYS[3], 'bytes')) or 0
-- One that is missing was lost (see append.lua): it must not look like an empty one.
if fields == 0 and (v or tonumber(steps or 0) > 0) then
  end_lost(KEYS, channel_of(base, suffix))
  return {'unknown'}
end
if how ~= 'whole' and (fields > FIELDS or bytes > BYTES) then return {'large', epoch, top, fields, bytes} end
return {'state', epoch, top, redis.call('HGETALL', KEYS[2]), streams()}
