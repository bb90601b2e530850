-- A worker has done with a job for now: it is over, or it is due again later.
--
-- ARGV  id     that of the job
--       token  that of the worker
--       due    'over', or in how long it is due again (milliseconds)
--       then its slots
--
-- Does nothing if another worker has the job now.

local holder = redis.call('GET', HAS .. id)
if holder and holder ~= token then return end
redis.call('DEL', HAS .. id)
redis.call('SREM', queue .. ':taken', id)
if due == 'over' then
  redis.call('ZREM', queue, id)
  redis.call('DEL', JOB .. id, TRIED .. id)
  redis.call('HDEL', ABOUT, id)
elseif redis.call('ZSCORE', queue, id) then
  due_in(id, tonumber(due))
end
leave(id, {unpack(ARGV, HEAD + 1)})
