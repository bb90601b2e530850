-- Appends a batch of events of one producer to one session: checks, stores, folds, publishes.
--
-- Lua has no rollback: everything is checked before the first write. The files in append/ stand before this one
-- (scripts.py); what they share of one call is the table `call`.
--
-- KEYS  log, state, meta, open (a hash: the streams of text that are not folded in yet)
-- ARGV  mode            'create': make the session if it is not there; 'append': it must be there;
--                       'close': the same, and only what ends something that is there is in it, whatever the limits;
--                       'forget': there are no events, and nothing more comes of the producer: its number goes
--       ttl_ms          how long the session lives after its last event
--       max_events, log_max_bytes    of the log
--       max_steps, max_bytes         of the session
--       suffix          what the names of channels end in
--       producer        '' when repeating the call does no harm
--       first           the sequence of the first event; dense per producer, from 1
--       known_epoch     the epoch of the producer's last stored event, or ''
--       run, attempt    the run that the events belong to, or ''
--       ask             the ask that the events answer and that must still be open, or ''
--       expects         '<field> <value>': a field of the state that must still have that value, or ''
--       turn            the handler, if the run is new and is to wait for those before it, or ''
--       then per event: op, type, id, parent, payload (see operations.lua)
--
-- Returns {'ok', epoch, top, stored, 1 if this call made the session}, and if its last event went to the tail, what
--         append_piece.lua needs for one more piece of that text, behind it: the tail, the letter, the fence, and for how
--         many milliseconds the expiry need not move. Or with nothing written {'unknown'}, {'ended'},
--         {'fenced', current attempt}, {'closed'} (the ask), {'changed', field}, {'taken', id}, {'gap', last stored sequence},
--         {'full', 'steps' or 'bytes', the limit}. Or {'again'}: a part of the batch is stored, and the same call goes on
--         with the rest.
--
-- Limits  `meta` counts the session's steps, and the bytes of what the state, the streams of text, the user session,
--         the kept elements and `meta` itself hold. A call that adds nothing is never refused: what ends, is removed or
--         replaced by the end of a step, and runs.
--
-- Loss    A server may evict a key, or a person delete it. The state always has the field MARK, so a state that is
--         missing was lost: the session ends here, as if it had been deleted. Any other key that is made anew gets the
--         expiry of the session.

ttl_ms, max_events, attempt, first = tonumber(ttl_ms), tonumber(max_events), tonumber(attempt), tonumber(first)
local log, state, meta, open = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local base = base_of(KEYS)
local channel = channel_of(base, suffix)
local count = (#ARGV - HEAD) / WIDTH
local epoch, seq, home, expires, stored_last, fence, bytes, log_bytes, tail, version = unpack(redis.call('HMGET', meta,
  'epoch', 'seq', 'life', 'expires', 'p:' .. producer, 'r:' .. run, 'bytes', 'log_bytes', 'tail', 'v'))
bytes, log_bytes, tail = tonumber(bytes) or 0, tonumber(log_bytes) or 0, tail or ''
if mode == 'forget' then
  forget_producer(meta, producer, bytes)
  return {'ok', epoch or 0, seq or 0, 0, 0}
end

local is_lost, is_log_lost = false, false
local epoch_before = tonumber(epoch)
if epoch_before then
  is_lost, is_log_lost = look(KEYS, version)
  if is_lost then
    end_lost(KEYS, channel)
    if mode ~= 'create' then return {'unknown'} end
    epoch, seq, home, expires, stored_last, fence, version = nil, nil, nil, nil, nil, nil, nil
    bytes, log_bytes, tail = 0, 0, ''
  end
end

seq, expires = tonumber(seq), tonumber(expires)
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local refusal = rights_refusal(KEYS, base, channel, now)
if refusal then return refusal end
if not epoch and mode ~= 'create' then return {'unknown'} end

-- A new process behind the address may have lost the tail that the old one acknowledged, and would
-- give the same ids to other events. A new epoch makes every reader take a snapshot instead. The sequence
-- goes on, since the order of the steps in the state hangs on it.
local life = name_of_life()
local is_new_session = not epoch
local is_new_epoch = is_new_session or home ~= life
if is_new_epoch then
  local later = now
  if epoch_before and now <= epoch_before then
    -- The clock has gone back. The next number would be the same on every server that goes on from here: so each adds the
    -- microseconds of its life. Only then: what a server has lost must not be ahead of the time, where it comes back.
    later = epoch_before + 1 + tonumber(string.match(life, '%d+$'))
  end
  epoch = string.format('%.0f', later)
  seq = seq or 0
end

local skip, last = 0, last_stored(stored_last, fence, producer, run)
if producer ~= '' then skip = math.max(0, last - first + 1) end
local raises_fence = false
if skip < count and run ~= '' and fence then
  refusal, raises_fence = check_fence(fence, producer, run, attempt)
  if refusal then return refusal end
end
-- The producer's own past may be in the lost tail; only within its epoch is a hole a fault.
if producer ~= '' and first > last + 1 and (known_epoch == '' or known_epoch == epoch) then return {'gap', last} end
if skip < count and ask ~= '' and redis.call('HGET', meta, 'a:' .. ask) ~= 'open' then return {'closed'} end
if skip < count and expects ~= '' then
  local field, value = string.match(expects, '^(%S+) (.*)$')
  if redis.call('HGET', state, field) ~= value then return {'changed', field} end
end

local is_text, adds, new_steps, new_bytes = true, false, 0, 0
for at = HEAD + skip * WIDTH, HEAD + (count - 1) * WIDTH, WIDTH do
  local op, size = ARGV[at + OP], #ARGV[at + PAYLOAD]
  local operation = OPERATIONS[op]
  if not operation then return redis.error_reply('ERR stepwire: unknown op ' .. op) end
  if operation.fold then is_text = false end
  if operation.must_be_new and not is_new_session and redis.call('HEXISTS', state, 's:' .. ARGV[at + ID]) == 1 then
    return {'taken', ARGV[at + ID]}
  end
  if operation.adds == A_STEP then new_steps = new_steps + 1 end
  if operation.adds == A_CHANGE then
    adds = true
  elseif operation.adds and size > 0 then
    adds, new_bytes = true, new_bytes + size
  end
end
local steps, is_indexed = 0, true
if not is_text then
  local counters = redis.call('HMGET', meta, 'steps', 'kids')
  steps = tonumber(counters[1]) or 0
  is_indexed = steps == (tonumber(counters[2]) or 0)
end
if adds and mode ~= 'close' then
  max_steps, max_bytes = tonumber(max_steps), tonumber(max_bytes)
  if new_steps > 0 and steps + new_steps > max_steps then return {'full', 'steps', max_steps} end
  if bytes >= max_bytes or bytes + new_bytes > max_bytes then return {'full', 'bytes', max_bytes} end
end

-- Expiry moves only now and then, all keys to the same instant: a session lives ttl to ttl * 17/16 from
-- its last event.
local must_touch = is_new_epoch or seq == 0 or not expires or expires - now < ttl_ms
if must_touch then expires = now + ttl_ms + math.floor(ttl_ms / 16) end

-- A number that the producer has in `meta` from now on counts.
if producer ~= '' and skip < count and not stored_last then bytes = bytes + ENTRY end

local call = {
  log = log, state = state, meta = meta, open = open, base = base, suffix = suffix,
  mode = mode, max_events = max_events, producer = producer, run = run, attempt = attempt, last = first + count - 1,
  epoch = epoch, seq = seq, bytes = bytes, log_bytes = log_bytes, tail = tail, steps = steps,
  now = now, expires = expires, must_touch = must_touch or is_log_lost, is_indexed = is_indexed,
  lines = {epoch}, -- what is published
  budget = AT_ONCE, is_unfinished = false, run_has_ended = false,
}
-- The keys of an earlier session whose `meta` was evicted do not belong to this one.
if is_new_session then clear(KEYS) end
if is_new_epoch then begin_epoch(call, life, is_new_session) end
if version ~= '2' then
  redis.call('HSET', state, MARK, MARKED)
  redis.call('HSET', meta, 'v', 2)
  call.must_touch = true
end
if run ~= '' and not fence then begin_run(call, turn) end
if raises_fence then redis.call('HSET', meta, 'r:' .. run, attempt .. ':' .. string.match(producer, '[^/]*$')) end
if turn ~= '' then redis.call('PEXPIREAT', base .. 'turns', expires) end

local tail_before = call.tail
for i = skip, count - 1 do
  local at = HEAD + i * WIDTH
  local op, kind, id = ARGV[at + OP], ARGV[at + TYPE], ARGV[at + ID]
  local parent, payload = ARGV[at + PARENT], ARGV[at + PAYLOAD]
  call.letter = nil
  local fold = OPERATIONS[op].fold
  if not fold then
    store_text(call, kind, id, parent, payload, op == 'replace_text')
  elseif fold(call, id, parent, payload) then
    store(call, kind, payload)
  end
  if call.is_unfinished then
    call.last = first + i - 1
    break
  end
end

bound_log(call, tonumber(log_max_bytes))
if skip < count then write_counters(call, tail_before, steps) end
if call.must_touch then move_expiry(call, KEYS) end
local stored = #call.lines - 1
if stored > 0 then redis.call(NEWS, channel, table.concat(call.lines, '\n')) end
if call.is_unfinished then return {'again'} end
local created = 0
if is_new_session then created = 1 end
local answer = {'ok', call.epoch, call.seq, stored, created}
if call.letter and producer ~= '' and (run == '' or fence) and not raises_fence and not call.run_has_ended then
  for _, known in ipairs({call.tail, call.letter, fence or '', expires - now - ttl_ms}) do answer[#answer + 1] = known end
end
return answer
