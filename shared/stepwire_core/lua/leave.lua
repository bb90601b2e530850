-- Takes a run, that nobody will execute, out of the row of those that wait for each other.
--
-- KEYS  log, state, meta, open
-- ARGV  run, or ''
--
-- Returns {the run whose turn it is now, or '' when there is none, or when it has begun before}.

local turns = string.sub(KEYS[1], 1, -4) .. 'turns'
for _, entry in ipairs(redis.call('LRANGE', turns, 0, -1)) do
  if string.match(entry, ' (%S+)$') == ARGV[1] then redis.call('LREM', turns, 1, entry) end
end
local first = string.match(redis.call('LINDEX', turns, 0) or '', ' (%S+)$') or ''
if string.match(redis.call('HGET', KEYS[3], 'r:' .. first) or '0', '^%d+') ~= '0' then return {''} end
return {first}
