-- Begins the next attempt of a run: raises its fence, so that no earlier attempt writes anything more.
--
-- KEYS  log, state, meta, open
-- ARGV  run, token (of this beginning: repeating the call with the same token changes nothing)
--
-- Returns {'ok', attempt, {name, value … of the user session}, 1 if it is to be cancelled}, {'ended'},
--         or {'unknown'}.

local meta, run, token = KEYS[3], ARGV[1], ARGV[2]
if redis.call('EXISTS', meta) == 0 then return {'unknown'} end

local current = redis.call('HGET', meta, 'r:' .. run) or '0'
if string.find(current, '!', 1, true) then return {'ended'} end
local attempt, owner = string.match(current, '^(%d+):?(.*)$')
attempt = tonumber(attempt)
if owner ~= token then
  attempt = attempt + 1
  redis.call('HSET', meta, 'r:' .. run, attempt .. ':' .. token)
end
return {'ok', attempt, redis.call('HGETALL', string.sub(KEYS[1], 1, -4) .. 'user'), redis.call('HEXISTS', meta, 'c:' .. run)}
