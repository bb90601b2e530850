-- Takes a run that will not be executed out of the row of the runs that wait for each other, and out of those that wait.
--
-- KEYS  log, state, meta, open
-- ARGV  entry  handler and run, as they stand in the row, or ''
--
-- Returns {the run whose turn it is now}, or {''} if the row is empty or that run has begun before.

local turns = base_of(KEYS) .. 'turns'
if entry ~= '' then
  redis.call('LREM', turns, 1, entry)
  redis.call('ZREM', base_of(KEYS) .. 'waiting', string.match(entry, ' (%S+)$'))
end
local first = string.match(redis.call('LINDEX', turns, 0) or '', ' (%S+)$') or ''
if string.match(redis.call('HGET', KEYS[3], 'r:' .. first) or '0', '^%d+') ~= '0' then return {''} end
return {first}
