-- Puts a job into the queue, once, and wakes a worker.
--
-- ARGV  id
--       job       as arq writes it
--       defer_ms  in how long it is due
--       ttl_ms    its time to live
--       facts     what a claim has to know of it (`:about` in row.lua)

defer_ms, ttl_ms = tonumber(defer_ms), tonumber(ttl_ms)
if redis.call('SET', JOB .. id, job, 'PX', ttl_ms, 'NX') then
  redis.call('HSET', ABOUT, id, facts)
  if redis.call('PTTL', ABOUT) < ttl_ms then redis.call('PEXPIRE', ABOUT, ttl_ms) end
  due_in(id, defer_ms)
elseif defer_ms == 0 then
  wake_for(id)
end
