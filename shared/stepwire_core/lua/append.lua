-- Appends a batch of events of one producer to one session: checks, stores, folds, publishes.
--
-- Lua has no rollback: everything is checked before the first write.
--
-- KEYS  log, state, meta, open (a hash: the streams of text that are not folded in yet)
-- ARGV  mode            'create': make the session if it is not there; 'append': it must be there;
--                       'close': the same, and only what ends something that is there is in it, whatever the limits;
--                       'forget': there are no events, and nothing more comes of the producer: its number goes
--       ttl_ms, maxlen, what the names of channels end in
--       log_max_bytes, max_steps, max_bytes: of the log's entries; of the session
--       producer        '' when repeating the call does no harm
--       first           the sequence of the first event; dense per producer, from 1
--       known           the epoch of the producer's last stored event, or ''
--       run, attempt    the run that the events belong to, or ''
--       answers         the ask that the events answer and that must still be open, or ''
--       turn            the handler, if the run is new and is to wait for those before it, or ''
--       then per event: op, type, id, parent, payload
--
-- Ops   S  put the step `id`                       payload: the whole step, JSON
--       N  the same, if there is none of that id   payload: the whole step, JSON
--       D  append to, or R replace, a field        parent: 'output' | 'input', payload: text, JSON-escaped
--       X  remove the step `id`, all below it,     payload: JSON
--          and their elements
--       G  put the run `id`                        payload: the whole run, JSON
--       T  the same, and the run has ended for good
--       A  put what belongs to the step `parent`:  payload: the whole of it, JSON
--          `id` is e:<element> or f:<step> (its feedback)
--       B  remove it, and the bytes of an element  payload: JSON
--       Q  put the open ask `id` of a step         payload: the whole ask, JSON
--       E  the ask `id` has ended, if it is open   payload: the whole ask, JSON
--       V  keep the result of the run `id`         payload: JSON; makes no event; `parent` is the channel to tell
--       U  keep the value `id` of the user session payload: JSON, or '' to forget it; makes no event
--
-- Returns {'ok', epoch, top, stored, 1 if this call made the session}, or with nothing written {'unknown'}, {'ended'},
--         {'fenced', current attempt}, {'closed'} (the ask), {'taken', id}, {'gap', last stored sequence},
--         {'full', 'steps' or 'bytes', the limit}. Or {'again'}: a part of the batch is stored, and the same call goes on
--         with the rest.
--
-- Index   `k:<step>` in the state has what belongs to a step: the fields of its children, elements, asks and feedback. It
--         is `<n> - <field> <field> … `, and `k:<step> <1 … n>` are as many more of the same form, which are full. `kids`
--         in `meta` is the number of steps that the index knows: a session of an older version gets one when it needs it.
--
-- Limits  `meta` counts the session's steps, and the bytes of what the state, the streams of text, the user session,
--         the kept elements and `meta` itself hold. A call that adds nothing is never refused: what ends, is removed or
--         replaced by the end of a step, and runs.
--
-- Loss    A server may evict a key, or somebody delete it. The state always has the field MARK, so a state that is
--         missing was lost: the session ends here, as if it had been deleted. Any other key that is made anew gets the
--         expiry of the session.
--
-- Tail    Small pieces of text, as a model sends them, do not get an entry each, which would weigh ten times the text.
--         They are gathered in `tail`, each a line: a letter for where it belongs, and the text. The line
--         `=<letter><field> <step> <run>` stands before the first of a letter. When there are enough of them, or something
--         else is stored, they become one entry that has the id of its last event: t '', r the sequence of its first
--         event, d the lines. Until then `tail` in `meta` is that sequence, and who has a letter has
--         `<that sequence> <run> <letter>` in `open`.

local log, state, meta, open = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local base = string.sub(log, 1, -4)
local mode, ttl_ms, maxlen, suffix = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local log_max_bytes, max_steps, max_bytes = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local producer, first, known, run, attempt = ARGV[8], tonumber(ARGV[9]), ARGV[10], ARGV[11], tonumber(ARGV[12])
local answers, turn = ARGV[13], ARGV[14]
local channel = string.sub(base, 1, -2) .. suffix
local HEAD, WIDTH = 14, 5
local ENTRY = 100 -- what an entry costs in Redis beside its value, about
local RUN = 2 * ENTRY -- the fence of a run, and perhaps the wish to cancel it
local MARK, MARKED = '.', '0 - {}' -- a field of the state
local PIECE, PIECES, LETTERS = 128, 100, 64 -- of the tail: bytes of a piece, pieces, their places
local KIDS_BYTES = 4000 -- of the index: a field of it that has more is full
local AT_ONCE, EVENT = 500, 4 -- the most fields of the state that one call removes, about; as how many an event counts
local budget = AT_ONCE
local count = (#ARGV - HEAD) / WIDTH

local found = redis.call('HMGET', meta, 'epoch', 'seq', 'life', 'expires', 'p:' .. producer, 'r:' .. run,
  'bytes', 'log_bytes', 'tail', 'v')

if mode == 'forget' then
  if redis.call('HDEL', meta, 'p:' .. producer) == 1 then
    redis.call('HSET', meta, 'bytes', math.max(0, (tonumber(found[7]) or 0) - ENTRY))
  end
  return {'ok', found[1] or 0, found[2] or 0, 0, 0}
end

-- Returns whether the session has lost its state, and whether its log must be made anew.
local function look()
  if redis.call('EXISTS', state, log) == 2 then return false, false end
  local is_lost = redis.call('EXISTS', state) == 0 and (found[10] or tonumber(redis.call('HGET', meta, 'steps') or 0) > 0)
  return is_lost, redis.call('EXISTS', log) == 0
end

local looked, is_lost, log_is_lost = false, false, false
local before = tonumber(found[1])
-- Most calls are one more piece of a text, and such a call looks only if it does more than add it.
if before and (mode == 'create' or count ~= 1 or ARGV[HEAD + 1] ~= 'D') then
  looked, is_lost, log_is_lost = true, look()
  if is_lost then
    end_lost(KEYS, channel)
    if mode ~= 'create' then return {'unknown'} end
    for i = 1, 10 do found[i] = false end
  end
end

local epoch, seq, home, expires = found[1], tonumber(found[2]), found[3], tonumber(found[4])
local bytes, log_bytes, tail = tonumber(found[7]) or 0, tonumber(found[8]) or 0, found[9] or ''
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

if are_rights_due('append', now) then
  local refusal = lacks_right('append', now, {
    {'XADD', log, '*', 'd', ''}, {'XTRIM', log, 'MAXLEN', 1}, {'DEL', log}, {'HSET', state, '.', ''}, {'HDEL', state, '.'},
    {'HSET', meta, 'seq', 0}, {'PEXPIREAT', meta, 0}, {'HSETNX', open, 'x', ''}, {'HDEL', open, 'x'},
    {'SET', base .. 'out:x', ''}, {'APPEND', base .. 'tail', ''}, {'UNLINK', base .. 'user'},
    {'RPUSH', base .. 'turns', ''}, {'PUBLISH', channel, ''}})
  if refusal then return refusal end
end

if not epoch and mode ~= 'create' then return {'unknown'} end

-- A new process behind the address has perhaps lost the tail that the old one acknowledged, and would
-- give the same ids to other events. A new epoch makes every reader take a snapshot instead. The sequence
-- goes on, since the order of the steps in the state hangs on it.
local life = name_of_life()
local fresh = not epoch or home ~= life
if fresh then
  epoch = string.format('%.0f', math.max(now, (before or 0) + 1))
  seq = seq or 0
end

local function is_of_attempt(number)
  local begin = 'r/' .. run .. '/' .. number .. '/'
  return string.sub(producer, 1, #begin) == begin
end

local skip, last = 0, tonumber(found[5]) or 0
if producer ~= '' then
  if not found[5] and found[6] then
    -- The number of a run's last attempt is kept with its end.
    local of, number = string.match(found[6], '^(%d+):(%d+)!')
    if of and is_of_attempt(of) then last = tonumber(number) end
  end
  skip = math.max(0, last - first + 1)
end
-- A server that has lost the beginning of an attempt gives its number to another one. The first of both that is heard of
-- again has it: a higher number raises the fence here, and of an equal one the token decides, which is in the name.
local raises = false
if skip < count and run ~= '' and found[6] then
  if string.find(found[6], '!', 1, true) then return {'ended'} end
  local current, owner = string.match(found[6], '^(%d+):?(.*)$')
  current = tonumber(current)
  if current > attempt then return {'fenced', current} end
  if string.sub(producer, 1, 2) == 'r/' then
    if current == attempt and owner ~= '' and producer ~= 'r/' .. run .. '/' .. attempt .. '/' .. owner then
      return {'fenced', current}
    end
    raises = current < attempt
  end
end
-- The producer's own past may be in the lost tail; only within its epoch is a hole a fault.
if producer ~= '' and first > last + 1 and (known == '' or known == epoch) then return {'gap', last} end
if skip < count and answers ~= '' and redis.call('HGET', meta, 'a:' .. answers) ~= 'open' then return {'closed'} end
local plain, common, adds, new_steps, new_bytes = true, true, false, 0, 0
for i = skip, count - 1 do
  local at = HEAD + i * WIDTH
  local op, kind, id, size = ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], #ARGV[at + 5]
  if op == 'D' then
    plain, adds, new_bytes = plain and size <= PIECE, adds or size > 0, new_bytes + size
  else
    plain, common = false, common and string.find('RSNGT', op, 1, true)
    if not string.find('SNRXGTUABQEV', op, 1, true) then return redis.error_reply('ERR stepwire: unknown op ' .. op) end
    if op == 'N' and found[1] and redis.call('HEXISTS', state, 's:' .. id) == 1 then return {'taken', id} end
    if kind == 'step.start' then new_steps = new_steps + 1 end
    if kind == 'step.update' then
      adds = true
    elseif kind ~= 'step.end' and string.find('SNRAQU', op, 1, true) and size > 0 then
      adds, new_bytes = true, new_bytes + size
    end
  end
end
local had, indexed = 0, true
if not plain then
  local counters = redis.call('HMGET', meta, 'steps', 'kids')
  had = tonumber(counters[1]) or 0
  indexed = had == (tonumber(counters[2]) or 0)
end
local steps = had
if adds and mode ~= 'close' then
  if new_steps > 0 and steps + new_steps > max_steps then return {'full', 'steps', max_steps} end
  if bytes >= max_bytes or bytes + new_bytes > max_bytes then return {'full', 'bytes', max_bytes} end
end

-- Expiry moves only now and then, all keys to the same instant: a session lives ttl to ttl * 17/16 from
-- its last event.
local touch = fresh or seq == 0 or not expires or expires - now < ttl_ms
if touch then expires = now + ttl_ms + math.floor(ttl_ms / 16) end

-- A number that the producer has in `meta` from now on counts.
if producer ~= '' and skip < count and not found[5] then bytes = bytes + ENTRY end

local function append_text(member, text)
  local key = base .. 'out:' .. member
  if redis.call('APPEND', key, text) > #text then return end
  -- It was evicted. The end of the step brings the whole text; until then this is the rest of it.
  redis.call('SET', key, '+' .. text, 'PXAT', expires)
end

local function append_line(line)
  -- The first line of a tail, or it was evicted.
  if redis.call('APPEND', base .. 'tail', line) == #line then redis.call('PEXPIREAT', base .. 'tail', expires) end
end

-- What most calls are: one more piece of a text that has its letter.
if plain and count - skip == 1 and producer ~= '' and tail ~= '' and seq - tail + 2 < PIECES and not touch
  and (run == '' or found[6]) and not raises then
  local at = HEAD + skip * WIDTH
  local kind, id, field, text = ARGV[at + 2], ARGV[at + 3], ARGV[at + 4], ARGV[at + 5]
  local place, of_run = redis.call('HGET', open, field .. ':' .. id), tail .. ' ' .. run .. ' '
  if place and string.sub(place, 1, #of_run) == of_run then
    append_text(field .. ':' .. id, text)
    append_line(string.sub(place, #of_run + 1) .. text .. '\n')
    redis.call('HSET', meta, 'seq', seq + 1, 'bytes', bytes + #text, 'log_bytes', log_bytes + #text + 2,
      'p:' .. producer, first + count - 1)
    redis.call('PUBLISH', channel, epoch .. '\n' .. seq + 1 .. ' ' .. kind .. ' ' .. run ..
      ' {"id":"' .. id .. '","field":"' .. field .. '","text":"' .. text .. '"}')
    return {'ok', epoch, seq + 1, 1, 0}
  end
end

if not looked and found[1] then
  is_lost, log_is_lost = look()
  if is_lost then
    end_lost(KEYS, channel)
    return {'unknown'}
  end
end
touch = touch or log_is_lost

local created = found[1] == false and 1 or 0
-- What is left of an earlier session whose `meta` was evicted is not this one's.
if created == 1 then clear(KEYS) end
if fresh then
  redis.call('DEL', log, base .. 'tail')
  log_bytes, tail = 0, ''
  redis.call('HSET', meta, 'epoch', epoch, 'seq', seq, 'life', life, 'log_from', seq + 1, 'tail', '')
  -- It tells one session from the next of the same id, which an epoch does not: that changes while a session lives.
  if created == 1 then redis.call('HSET', meta, 'born', epoch) end
end
if found[10] ~= '2' then
  redis.call('HSET', state, MARK, MARKED)
  redis.call('HSET', meta, 'v', 2)
  touch = true
end
if run ~= '' and not found[6] then
  bytes = bytes + RUN
  redis.call('HSET', meta, 'r:' .. run, attempt, 'bytes', bytes)
  if turn ~= '' then redis.call('RPUSH', base .. 'turns', turn .. ' ' .. run) end
end
if raises then redis.call('HSET', meta, 'r:' .. run, attempt .. ':' .. string.match(producer, '[^/]*$')) end
if turn ~= '' then redis.call('PEXPIREAT', base .. 'turns', expires) end

-- What is kept grows from `before` bytes to `after`; 0: it is not there.
local function count_bytes(before, after)
  bytes = bytes + after - before + (after > 0 and ENTRY or 0) - (before > 0 and ENTRY or 0)
end

-- A stream of text starts with '+' (it continues the field of the stored step) or '=' (it replaces it). Returns
-- whether the text counts, which it does not when its step is not there.
local function stream(op, field, id, text)
  local member = field .. ':' .. id
  local key = base .. 'out:' .. member
  if redis.call('HSETNX', open, member, '') == 1 then
    if redis.call('HEXISTS', state, 's:' .. id) == 0 then
      redis.call('HDEL', open, member)
      return false
    end
    redis.call('PEXPIREAT', open, expires)
    redis.call('SET', key, (op == 'R' and '=' or '+') .. text, 'PXAT', expires)
    count_bytes(0, #text + 1)
  elseif op == 'R' then
    count_bytes(redis.call('STRLEN', key), #text + 1)
    redis.call('SET', key, '=' .. text, 'PXAT', expires)
  else
    append_text(member, text)
    bytes = bytes + #text
  end
  return true
end

local function add_entry(last, kind, from, data)
  if last <= maxlen then return redis.call('XADD', log, epoch .. '-' .. last, 't', kind, 'r', from, 'd', data) end
  redis.call('XADD', log, 'MINID', '~', epoch .. '-' .. last - maxlen + 1, epoch .. '-' .. last,
    't', kind, 'r', from, 'd', data)
end

local function end_tail()
  if tail == '' then return end
  local lines = redis.call('GET', base .. 'tail') or ''
  local _, pieces = string.gsub('\n' .. lines, '\n[^=]', '')
  -- One that is missing shows as a gap.
  if pieces == seq - tail + 1 then add_entry(seq, '', tail, lines) end
  redis.call('DEL', base .. 'tail')
  tail = ''
end

-- The letter in the tail for where a piece belongs, and its line there if that is new.
local function letter_for(field, id)
  if tail ~= '' then
    local of_run = tail .. ' ' .. run .. ' '
    local place = redis.call('HGET', open, field .. ':' .. id)
    if string.sub(place, 1, #of_run) == of_run then return string.sub(place, #of_run + 1), '' end
  end
  local known = 0
  if tail ~= '' then known = select(2, string.gsub('\n' .. (redis.call('GET', base .. 'tail') or ''), '\n=', '')) end
  if known == LETTERS then
    end_tail()
    known = 0
  end
  if tail == '' then tail = string.format('%.0f', seq + 1) end
  local letter = string.char(62 + known) -- after '='
  redis.call('HSET', open, field .. ':' .. id, tail .. ' ' .. run .. ' ' .. letter)
  return letter, '=' .. letter .. field .. ' ' .. id .. ' ' .. run .. '\n'
end

local function add_piece(field, id, text)
  if not stream('D', field, id, text) then return false end
  local letter, line = letter_for(field, id)
  append_line(line .. letter .. text .. '\n')
  log_bytes = log_bytes + #line + #text + 2
  return true
end

-- The folds of all that is no text, by operation; made only where there is such. They return whether the event counts:
-- of a step that has been removed, nothing does but a new start.
local fold, lines, had_tail, unfinished, has_ended = {}, {epoch}, tail, false, false

-- An event that is no piece of text.
local function store(kind, payload)
  lines[#lines + 1] = seq + 1 .. ' ' .. kind .. ' ' .. run .. ' ' .. payload
  end_tail()
  add_entry(seq + 1, kind, run, payload)
  log_bytes = log_bytes + #payload
  seq = seq + 1
end

if not plain then
  local function close_streams(id)
    for _, field in ipairs({'output', 'input'}) do
      local member = field .. ':' .. id
      if redis.call('HDEL', open, member) == 1 then
        count_bytes(redis.call('STRLEN', base .. 'out:' .. member), 0)
        redis.call('DEL', base .. 'out:' .. member)
      end
    end
  end

  local function write_kids(field, before, value)
    count_bytes(before and #before or 0, #value)
    redis.call('HSET', state, field, value)
  end

  local function add_kid(parent, field)
    if not indexed or parent == '-' then return end
    local key = 'k:' .. parent
    local head = redis.call('HGET', state, key)
    if head and #head > KIDS_BYTES then
      local full = string.match(head, '^%d+') + 1
      write_kids(key .. ' ' .. full, nil, head)
      write_kids(key, head, full .. ' - ' .. field .. ' ')
    else
      write_kids(key, head, (head or '0 - ') .. field .. ' ')
    end
  end

  local function drop(key, field)
    count_bytes(redis.call('HSTRLEN', key, field), 0)
    return redis.call('HDEL', key, field) == 1
  end

  local function remove_kid(parent, field)
    local key = 'k:' .. parent
    local head = indexed and parent ~= '-' and redis.call('HGET', state, key)
    if not head then return end
    local full, place, value = tonumber(string.match(head, '^%d+')), key, head
    for i = full + 1, 1, -1 do
      if i <= full then
        place = key .. ' ' .. i
        value = redis.call('HGET', state, place)
      end
      local from, to = string.find(value, ' ' .. field .. ' ', 1, true)
      if from then
        local left = string.sub(value, 1, from) .. string.sub(value, to + 1)
        if string.find(left, ' %- .') then return write_kids(place, value, left) end
        if full == 0 then return drop(state, key) end
        -- The last full one takes the place of one that is empty.
        local last = redis.call('HGET', state, key .. ' ' .. full)
        drop(state, key .. ' ' .. full)
        local rest = string.match(i > full and last or head, ' %- .*')
        if i < full then write_kids(place, value, last) end
        return write_kids(key, head, full - 1 .. rest)
      end
    end
  end

  -- What replaces an old value keeps its place in the order.
  local function put(id, old, parent, payload)
    local order, was = string.match(old or '', '^(%d+) (%S+) ')
    if was ~= parent then
      if was then remove_kid(was, id) end
      add_kid(parent, id)
    end
    local value = (order or seq + 1) .. ' ' .. parent .. ' ' .. payload
    count_bytes(old and #old or 0, #value)
    redis.call('HSET', state, id, value)
  end

  fold.S = function(kind, id, parent, payload)
    local old = redis.call('HGET', state, 's:' .. id)
    if old then
      close_streams(id)
    elseif mode == 'close' or kind ~= 'step.start' and redis.call('HEXISTS', meta, 'x:' .. id) == 1 then
      return false
    else
      steps = steps + 1
    end
    put('s:' .. id, old, parent, payload)
    return true
  end
  fold.N = fold.S

  fold.G = function(kind, id, parent, payload)
    put('r:' .. id, redis.call('HGET', state, 'r:' .. id), '-', payload)
    return true
  end

  fold.T = function(kind, id, parent, payload)
    local ended = attempt
    if id == run and is_of_attempt(attempt) then
      -- From here on the fence refuses all but a repetition of this call, which it knows by the number.
      ended, has_ended = attempt .. ':' .. first + count - 1, true
      redis.call('HDEL', meta, 'p:' .. producer)
      bytes = bytes - ENTRY
    end
    redis.call('HSET', meta, 'r:' .. id, ended .. '!' .. epoch .. '-' .. seq + 1)
    -- The next one may begin.
    local head = redis.call('LINDEX', base .. 'turns', 0)
    if head and string.match(head, ' (%S+)$') == id then
      redis.call('LPOP', base .. 'turns')
    elseif head then
      for _, handler in ipairs({'on_message', 'on_chat_start', 'on_chat_resume'}) do
        if redis.call('LREM', base .. 'turns', 1, handler .. ' ' .. id) == 1 then break end
      end
    end
    return fold.G(kind, id, parent, payload)
  end

  if not common then
    local user, files, results = base .. 'user', base .. 'files', base .. 'results'

    -- What belongs to a step: its elements (e:), its feedback (f:), what it asks (a:). One that comes after its step
    -- was removed is gone with it, and so are the bytes kept for it.

    local function set_ask(id, value)
      if redis.call('HSET', meta, id, value) == 1 then bytes = bytes + ENTRY end
    end

    local function forget(id)
      if string.sub(id, 1, 2) == 'e:' then drop(files, string.sub(id, 3)) end
      if string.sub(id, 1, 2) == 'a:' then set_ask(id, 'ended') end
    end

    local function remove_from_parent(field)
      local parent = string.match(redis.call('HGET', state, field) or '', '^%d+ (%S+) ')
      if parent then remove_kid(parent, field) end
    end

    local function remove_belonging(id)
      forget(id)
      remove_from_parent(id)
      return drop(state, id)
    end

    local function build_index()
      local all = redis.call('HGETALL', state)
      indexed = true
      for i = 1, #all, 2 do
        if string.sub(all[i], 1, 2) == 'k:' then drop(state, all[i]) end
      end
      for i = 1, #all, 2 do
        local parent = string.sub(all[i], 1, 2) ~= 'k:' and string.match(all[i + 1], '^%d+ (%S+) ')
        if parent then add_kid(parent, all[i]) end
      end
    end

    -- The fields of a step and of all below it, the nearest first; and whether there are more than `most`.
    local function collect(id, most)
      local found, seen, i = {'s:' .. id}, {['s:' .. id] = true}, 1
      while found[i] do
        local key = string.sub(found[i], 1, 2) == 's:' and 'k:' .. string.sub(found[i], 3)
        local kids = key and redis.call('HGET', state, key)
        local full = kids and tonumber(string.match(kids, '^%d+')) or 0
        while kids do
          for field in string.gmatch(string.sub(kids, string.find(kids, ' - ', 1, true) + 3), '%S+') do
            -- A parent that comes from a user may point in a circle.
            if not seen[field] then
              seen[field] = true
              found[#found + 1] = field
            end
          end
          if #found > most then return found, true end
          kids = full > 0 and redis.call('HGET', state, key .. ' ' .. full)
          full = full - 1
        end
        i = i + 1
      end
      return found, false
    end

    local function erase(found)
      local streams = redis.call('HLEN', open) > 0
      remove_from_parent(found[1])
      local gone, removed = {}, {}
      for _, field in ipairs(found) do
        count_bytes(redis.call('HSTRLEN', state, field), 0)
        gone[#gone + 1] = field
        if string.sub(field, 1, 2) == 's:' then
          local id = string.sub(field, 3)
          removed[#removed + 1] = 'x:' .. id
          removed[#removed + 1] = ''
          if streams then close_streams(id) end
          local kids = redis.call('HGET', state, 'k:' .. id)
          if kids then
            for i = 1, string.match(kids, '^%d+') do drop(state, 'k:' .. id .. ' ' .. i) end
            drop(state, 'k:' .. id)
          end
        else
          forget(field)
        end
        if #gone == 500 or field == found[#found] then
          local steps_gone = {}
          for _, name in ipairs(gone) do
            if string.sub(name, 1, 2) == 's:' then steps_gone[#steps_gone + 1] = name end
          end
          if #steps_gone > 0 then steps = steps - redis.call('HDEL', state, unpack(steps_gone)) end
          redis.call('HDEL', state, unpack(gone))
          -- That they were removed is remembered, so it counts.
          if #removed > 0 then bytes = bytes + ENTRY * redis.call('HSET', meta, unpack(removed)) end
          gone, removed = {}, {}
        end
      end
      touch = true
    end

    -- What is below a step and too much for one call goes before it, a part in each call: subtrees, each with an event of
    -- its own. Where it leads far down, `pruning` is the place to go on from. Returns false if nothing came of it: where
    -- parents point in a circle.
    local function prune(root, found)
      local from, place, tries = string.match(redis.call('HGET', meta, 'pruning') or '', '^(%S+) (%S+) (%d+)$')
      local j, way, more, looked, done, in_a_row = 2, 1, nil, 0, 0, 0
      tries = from == root and tonumber(tries) or 0
      if from == root and redis.call('HEXISTS', state, 's:' .. place) == 1 then
        found, more = collect(place, AT_ONCE)
        j, way = more and #found or 1, more and -1 or 1
      end
      local before = tries
      while found[j] and done < AT_ONCE and looked < 2 * AT_ONCE do
        local field, some = found[j], nil
        local id, is_step = string.sub(field, 3), string.sub(field, 1, 2) == 's:'
        more = false
        if id ~= root and redis.call('HEXISTS', state, field) == 1 then
          if is_step then
            some, more = collect(id, AT_ONCE)
            looked = looked + #some
          elseif string.sub(field, 1, 2) == 'e:' then
            some = {field}
          end
        end
        if more then
          -- Not one by one down a long chain.
          tries, in_a_row, found = tries + 1, in_a_row + 1, some
          if in_a_row > 2 then way = -1 end
          j = way == 1 and 2 or #found
          redis.call('HSET', meta, 'pruning', root .. ' ' .. id .. ' ' .. tries)
        else
          if some then
            if is_step then erase(some) else remove_belonging(field) end
            store(is_step and 'step.remove' or 'element.remove', '{"id":"' .. id .. '"}')
            done, in_a_row = done + #some + EVENT, 0
          end
          j = j + way
        end
      end
      if done > 0 then redis.call('HDEL', meta, 'pruning') end
      return done > 0 or tries > before and tries < 100
    end

    fold.X = function(kind, id)
      if not indexed then build_index() end
      local found, more = collect(id, budget)
      if more and budget == AT_ONCE and not prune(id, found) then
        found, more = collect(id, math.huge)
      end
      unfinished = more
      if more then return false end
      budget = math.max(0, budget - #found)
      erase(found)
      if redis.call('HEXISTS', meta, 'pruning') == 1 then redis.call('HDEL', meta, 'pruning') end
      return true
    end

    fold.A = function(kind, id, parent, payload)
      if redis.call('HEXISTS', meta, 'x:' .. parent) == 1 and redis.call('HEXISTS', state, 's:' .. parent) == 0 then
        forget(id)
        return false
      end
      put(id, redis.call('HGET', state, id), parent, payload)
      return true
    end

    fold.B = function(kind, id) return remove_belonging(id) end

    fold.Q = function(kind, id, parent, payload)
      set_ask(id, 'open')
      return fold.A(kind, id, parent, payload)
    end

    fold.E = function(kind, id, parent, payload)
      if redis.call('HGET', meta, id) ~= 'open' then return false end
      set_ask(id, 'ended')
      return fold.A(kind, id, parent, payload)
    end

    fold.V = function(kind, id, answers, payload)
      redis.call('HSET', results, id, payload)
      redis.call('PEXPIREAT', results, expires)
      redis.call('PUBLISH', answers .. suffix, string.match(base, '{(.*)}') .. ' ' .. id)
      return false
    end

    fold.U = function(kind, id, parent, payload)
      if payload == '' then
        drop(user, id)
      else
        count_bytes(redis.call('HSTRLEN', user, id), #payload)
        redis.call('HSET', user, id, payload)
      end
      redis.call('PEXPIREAT', user, expires)
      return false
    end
  end
end

local last = first + count - 1
for i = skip, count - 1 do
  local at = HEAD + i * WIDTH
  local op, kind, id, parent, payload = ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4], ARGV[at + 5]
  local is_piece, counts = op == 'D' and #payload <= PIECE, nil
  if is_piece then
    counts = add_piece(parent, id, payload)
  elseif op == 'D' or op == 'R' then
    counts = stream(op, parent, id, payload)
  else
    counts = fold[op](kind, id, parent, payload)
  end
  if unfinished then
    last = first + i - 1
    break
  end
  if counts then
    if op == 'D' or op == 'R' then
      payload = '{"id":"' .. id .. '","field":"' .. parent .. '","text":"' .. payload ..
        (op == 'R' and '","replace":true}' or '"}')
    end
    if is_piece then
      lines[#lines + 1] = seq + 1 .. ' ' .. kind .. ' ' .. run .. ' ' .. payload
      seq = seq + 1
      if seq - tail + 1 >= PIECES then end_tail() end
    else
      store(kind, payload)
    end
  end
end

-- In halves: when the younger one is full, the older one goes.
if log_bytes > log_max_bytes / 2 then
  redis.call('XTRIM', log, 'MINID', epoch .. '-' .. (redis.call('HGET', meta, 'log_from') or 1))
  log_bytes = 0
  redis.call('HSET', meta, 'log_from', seq + 1)
end
if skip < count then
  -- A session that is older than these counters may take away more than was counted.
  local counted = {'seq', seq, 'bytes', math.max(0, bytes), 'log_bytes', log_bytes}
  if tail ~= had_tail then counted[7], counted[8] = 'tail', tail end
  if steps ~= had then
    for _, part in ipairs({'steps', math.max(0, steps), 'kids', indexed and math.max(0, steps) or -1}) do
      counted[#counted + 1] = part
    end
  end
  if producer ~= '' and not has_ended then counted[#counted + 1], counted[#counted + 2] = 'p:' .. producer, last end
  redis.call('HSET', meta, unpack(counted))
end
if touch then
  redis.call('HSET', meta, 'expires', string.format('%.0f', expires))
  for _, key in ipairs(KEYS) do redis.call('PEXPIREAT', key, expires) end
  for _, name in ipairs({'tail', 'user', 'files', 'turns', 'results'}) do redis.call('PEXPIREAT', base .. name, expires) end
  for _, member in ipairs(redis.call('HKEYS', open)) do
    redis.call('PEXPIREAT', base .. 'out:' .. member, expires)
  end
end
local stored = #lines - 1
if stored > 0 then redis.call('PUBLISH', channel, table.concat(lines, '\n')) end
if unfinished then return {'again'} end
return {'ok', epoch, seq, stored, created}
