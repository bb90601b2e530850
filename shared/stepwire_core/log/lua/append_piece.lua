-- Appends one more small piece of a text, which is what most calls do: as append.lua would, in fewer commands.
--
-- append.lua has told the caller of the tail. While that is so, the text has its letter, and its stream is open: whatever
-- ends either ends the tail. And the caller sees to it that the expiry need not move, and that nothing of the session
-- follows in the same round trip, since this call may have to be made again, as append.lua.
--
-- KEYS  meta, tail, out (the text that the piece belongs to)
-- ARGV  suffix          what the names of channels end in
--       max_bytes       of the session
--       producer
--       number          the sequence of the event
--       run             or ''
--       epoch_then, tail_then, letter, fence_then    what append.lua has answered
--       id, field       the step, and 'output' or 'input'
--       text            JSON-escaped
--
-- Returns the new top, or 0 with nothing written: then append.lua says what there is to say.

local meta, text_size = KEYS[1], #text
local last, fence = 'p:' .. producer, 'r:' .. run
local epoch, seq, home, expires, stored, fence_now, bytes, log_bytes, tail = unpack(redis.call('HMGET', meta,
  'epoch', 'seq', 'life', 'expires', last, fence, 'bytes', 'log_bytes', 'tail'))
if epoch ~= epoch_then or home ~= life or tail ~= tail_then or (fence_now or '') ~= fence_then
  or not stored or stored + 1 ~= tonumber(number) or seq - tail + 2 >= PIECES
  or text_size > PIECE or bytes + text_size > tonumber(max_bytes) then
  return 0
end

seq = seq + 1
append_text(KEYS[3], text, expires)
append_line(KEYS[2], letter .. text .. '\n', expires)
redis.call('HSET', meta, 'seq', seq, 'bytes', bytes + text_size, 'log_bytes', log_bytes + text_size + 2, last, number)
redis.call(NEWS, string.sub(meta, 1, -6) .. suffix,
  epoch .. '\n' .. seq .. ' ' .. TEXT_DELTA .. ' ' .. run .. ' ' .. text_data(id, field, text, false))
return seq
