-- Asks for a run to be cancelled, and tells the workers.
--
-- KEYS  log, state, meta, open
-- ARGV  run, channel of the cancellations, publish command, session
--
-- Returns {'ok'}, {'ended'}, {'norun'}, or {'unknown'}.

local meta, run = KEYS[3], ARGV[1]
if redis.call('EXISTS', meta) == 0 then return {'unknown'} end

local current = redis.call('HGET', meta, 'r:' .. run)
if not current then return {'norun'} end
if string.find(current, '!', 1, true) then return {'ended'} end
-- Kept: a run that still waits for a worker is cancelled when one begins it.
redis.call('HSET', meta, 'c:' .. run, '')
redis.call(ARGV[3], ARGV[2], ARGV[4] .. ' ' .. run)
return {'ok'}
