-- The log's entries, and text that streams into steps.
--
-- A stream of text starts with '+' (it continues the field of the stored step) or '=' (it replaces it).
--
-- Small pieces of text, as a model sends them, do not get an entry each, which would weigh ten times the text. They are
-- gathered in `tail`, each a line: a letter for where it belongs, and the text. The line `=<letter><field> <step> <run>`
-- stands before the first of a letter. When there are enough of them, or something else is stored, they become one entry
-- that has the id of its last event: t '', r the sequence of its first event, d the lines. Until then `tail` in `meta` is
-- that sequence, and a stream that has a letter has `<that sequence> <run> <letter>` in `open`.

local function count_bytes(call, before, after)
  call.bytes = call.bytes + growth(before, after)
end

local function append_text(key, text, expires)
  if redis.call('APPEND', key, text) > #text then return end
  -- It was evicted. The end of the step brings the whole text; until then this is the rest of it.
  redis.call('SET', key, '+' .. text, 'PXAT', expires)
end

local function append_line(key, line, expires)
  -- The first line of a tail, or it was evicted.
  if redis.call('APPEND', key, line) == #line then redis.call('PEXPIREAT', key, expires) end
end

local function text_data(id, field, text, replaces)
  local ending = '"}'
  if replaces then ending = '","replace":true}' end
  return '{"id":"' .. id .. '","field":"' .. field .. '","text":"' .. text .. ending
end

-- Returns whether the text counts, which it does not when its step is not there.
local function stream(call, id, field, text, replaces)
  local member = field .. ':' .. id
  local key = call.base .. 'out:' .. member
  if redis.call('HSETNX', call.open, member, '') == 1 then
    if redis.call('HEXISTS', call.state, 's:' .. id) == 0 then
      redis.call('HDEL', call.open, member)
      return false
    end
    local start = '+'
    if replaces then start = '=' end
    redis.call('PEXPIREAT', call.open, call.expires)
    redis.call('SET', key, start .. text, 'PXAT', call.expires)
    count_bytes(call, 0, #text + 1)
  elseif replaces then
    count_bytes(call, redis.call('STRLEN', key), #text + 1)
    redis.call('SET', key, '=' .. text, 'PXAT', call.expires)
  else
    append_text(key, text, call.expires)
    call.bytes = call.bytes + #text
  end
  return true
end

local function close_streams(call, id)
  for _, field in ipairs({'output', 'input'}) do
    local member = field .. ':' .. id
    if redis.call('HDEL', call.open, member) == 1 then
      count_bytes(call, redis.call('STRLEN', call.base .. 'out:' .. member), 0)
      redis.call('DEL', call.base .. 'out:' .. member)
    end
  end
end

local function add_entry(call, last, kind, from, data)
  local id = call.epoch .. '-' .. last
  if last <= call.max_events then return redis.call('XADD', call.log, id, 't', kind, 'r', from, 'd', data) end
  redis.call('XADD', call.log, 'MINID', '~', call.epoch .. '-' .. last - call.max_events + 1, id,
    't', kind, 'r', from, 'd', data)
end

local function end_tail(call)
  if call.tail == '' then return end
  local lines = redis.call('GET', call.base .. 'tail') or ''
  -- A piece that is missing shows as a gap.
  if pieces_in(lines) == call.seq - call.tail + 1 then add_entry(call, call.seq, '', call.tail, lines) end
  redis.call('DEL', call.base .. 'tail')
  call.tail, call.letter = '', nil
end

-- The letter in the tail for where a piece belongs, and its line there if that is new.
local function letter_for(call, field, id)
  local known = 0
  if call.tail ~= '' then
    local of_run = call.tail .. ' ' .. call.run .. ' '
    local place = redis.call('HGET', call.open, field .. ':' .. id)
    if string.sub(place, 1, #of_run) == of_run then return string.sub(place, #of_run + 1), '' end
    known = select(2, string.gsub('\n' .. (redis.call('GET', call.base .. 'tail') or ''), '\n=', ''))
  end
  if known == LETTERS then
    end_tail(call)
    known = 0
  end
  if call.tail == '' then call.tail = string.format('%.0f', call.seq + 1) end
  local letter = string.char(62 + known) -- after '='
  redis.call('HSET', call.open, field .. ':' .. id, call.tail .. ' ' .. call.run .. ' ' .. letter)
  return letter, '=' .. letter .. field .. ' ' .. id .. ' ' .. call.run .. '\n'
end

local function tell(call, kind, data)
  call.lines[#call.lines + 1] = call.seq + 1 .. ' ' .. kind .. ' ' .. call.run .. ' ' .. data
end

-- An event that is not a small piece of text.
local function store(call, kind, data)
  tell(call, kind, data)
  end_tail(call)
  add_entry(call, call.seq + 1, kind, call.run, data)
  call.log_bytes = call.log_bytes + #data
  call.seq = call.seq + 1
end

local function store_text(call, kind, id, field, text, replaces)
  if not stream(call, id, field, text, replaces) then return end
  local data = text_data(id, field, text, replaces)
  if replaces or #text > PIECE then return store(call, kind, data) end
  local letter, line = letter_for(call, field, id)
  append_line(call.base .. 'tail', line .. letter .. text .. '\n', call.expires)
  call.log_bytes = call.log_bytes + #line + #text + 2
  tell(call, kind, data)
  call.seq, call.letter = call.seq + 1, letter
  if call.seq - call.tail + 1 >= PIECES then end_tail(call) end
end
