-- Deletes a session: from now on no caller can read it or write to it. The rest of its end needs some values, which stay in
-- `ending` until then, so that a call which was cut off can be repeated.
--
-- KEYS  log, state, meta, open
-- ARGV  cancel_channel
--       suffix         what the names of channels end in
--       session
--       ending_ttl_ms  how long `ending` is kept
--
-- Returns {'ok', '<epoch> <born>' (see append.lua), or the epoch alone, {name, value … of the user session}}, or {'unknown'}.

local meta, base = KEYS[3], base_of(KEYS)
local user, ending = base .. 'user', base .. 'ending'

local epoch = redis.call('HGET', meta, 'epoch')
if epoch then
  -- Whatever of it is executed: the workers know that.
  redis.call('PUBLISH', cancel_channel, session .. ' ' .. ALL_RUNS)
  redis.call('UNLINK', ending)
  if redis.call('EXISTS', user) == 1 then redis.call('RENAME', user, ending) end
  local born = redis.call('HGET', meta, 'born')
  local lives = epoch
  if born then lives = epoch .. ' ' .. born end
  redis.call('HSET', ending, '', lives)
  redis.call('PEXPIRE', ending, ending_ttl_ms)
  clear(KEYS)
  redis.call(NEWS, channel_of(base, suffix), GONE)
end

local kept = redis.call('HGETALL', ending)
if #kept == 0 then return {'unknown'} end
local values = {}
for i = 1, #kept, 2 do
  if kept[i] == '' then
    epoch = kept[i + 1]
  else
    values[#values + 1] = kept[i]
    values[#values + 1] = kept[i + 1]
  end
end
return {'ok', epoch, values}
