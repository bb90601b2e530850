-- A worker has done with a job for now: it is over, or it is due again later.
--
-- ARGV  job id, token of the worker, 'over' or in how long it is due again (milliseconds), then its slots
--
-- Does nothing if another worker has the job now.

local id, holder = ARGV[1], redis.call('GET', HAS .. ARGV[1])
if holder and holder ~= ARGV[2] then return end
redis.call('DEL', HAS .. id)
redis.call('SREM', queue .. ':taken', id)
redis.call('HDEL', queue .. ':held', id)
if ARGV[3] == 'over' then
  redis.call('ZREM', queue, id)
  redis.call('DEL', JOB .. id, TRIED .. id)
elseif redis.call('ZSCORE', queue, id) then
  local defer_ms = tonumber(ARGV[3])
  if defer_ms > 0 then
    put(id, now + defer_ms)
  else
    waits(id, exactly_now)
    wake_for(id)
  end
end
leave(id, {unpack(ARGV, 4)})
