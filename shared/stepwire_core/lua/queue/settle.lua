-- A worker has done with a job for now: it is over, or it is due again later.
--
-- ARGV  job id, token of the worker, 'over' or in how long it is due again (milliseconds), then its slots
--
-- Does nothing if another worker has the job now.

local id, holder = ARGV[1], redis.call('GET', HAS .. ARGV[1])
if holder and holder ~= ARGV[2] then return end
redis.call('DEL', HAS .. id)
redis.call('SREM', queue .. ':taken', id)
if ARGV[3] == 'over' then
  redis.call('ZREM', queue, id)
  redis.call('DEL', JOB .. id, TRIED .. id)
  redis.call('HDEL', ABOUT, id)
elseif redis.call('ZSCORE', queue, id) then
  due_in(id, tonumber(ARGV[3]))
end
leave(id, {unpack(ARGV, 4)})
