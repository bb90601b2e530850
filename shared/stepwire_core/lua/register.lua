-- Makes a run known before a worker begins it.
--
-- KEYS  log, state, meta, open
-- ARGV  run, digest of what it is to do
--
-- Returns {'ok'}, {'conflict'} if the id stands for something else, or {'unknown'}.

local meta, run, digest = KEYS[3], ARGV[1], ARGV[2]
if redis.call('EXISTS', meta) == 0 then return {'unknown'} end

local known = redis.call('HGET', meta, 'q:' .. run)
if known and known ~= digest then return {'conflict'} end
if not known then
  -- The run of a message has no digest: its id is not free either.
  if redis.call('HSETNX', meta, 'r:' .. run, 0) == 0 then return {'conflict'} end
  redis.call('HSET', meta, 'q:' .. run, digest)
end
return {'ok'}
