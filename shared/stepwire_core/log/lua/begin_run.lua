-- Begins the next attempt of a run: raises its fence, so that no earlier attempt writes anything more.
--
-- KEYS  log, state, meta, open
-- ARGV  run
--       token  of this beginning: repeating the call with the same token changes nothing
--       turn   its handler if it is to wait for the runs before it, or ''
--       message  the message that it answers, or ''
--
-- Returns {'ok', attempt, {name, value … of the user session}, 1 if it is to be cancelled, the subject of the session or '',
--         1 if the log has lost the message},
--         {'ended'}, {'unknown'}, or, with nothing changed, {'waits', {<handler> <run> … that come before it, the first of them}}.

local SHOWN = 100
local meta = KEYS[3]
local base = base_of(KEYS)
if redis.call('EXISTS', meta) == 0 then return {'unknown'} end

local counted = 0
local current = redis.call('HGET', meta, 'r:' .. run)
if not current then current, counted = '0', RUN end
if string.find(current, '!', 1, true) then return {'ended'} end
local cancelled = redis.call('HEXISTS', meta, 'c:' .. run)

if turn ~= '' and cancelled == 0 then
  local place = redis.call('LPOS', base .. 'turns', turn .. ' ' .. run) or 0
  if place > 0 then return {'waits', redis.call('LRANGE', base .. 'turns', 0, math.min(place, SHOWN) - 1)} end
end

local attempt, owner = string.match(current, '^(%d+):?(.*)$')
attempt = tonumber(attempt)
if owner ~= token then
  attempt = attempt + 1
  redis.call('HSET', meta, 'r:' .. run, attempt .. ':' .. token)
  redis.call('ZREM', base .. 'waiting', run)
  -- The fence refuses all that the attempt before still sends, so its number is not needed any more.
  counted = counted - ENTRY * redis.call('HDEL', meta, 'p:r/' .. run .. '/' .. attempt - 1 .. '/' .. owner)
  if counted ~= 0 then redis.call('HINCRBY', meta, 'bytes', counted) end
end

-- Neither there nor removed: a failover has lost it, and not the job, which is on another server.
local is_lost = 0
if message ~= '' and redis.call('HEXISTS', KEYS[2], 's:' .. message) + redis.call('HEXISTS', meta, 'x:' .. message) == 0 then
  is_lost = 1
end
return {'ok', attempt, redis.call('HGETALL', base .. 'user'), cancelled, redis.call('HGET', meta, 'subject') or '', is_lost}
