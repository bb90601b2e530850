-- Puts a job into arq's queue, once, and wakes a worker.
--
-- KEYS  arq's job key, queue, wake list
-- ARGV  job id, the job as arq writes it, when it is due, time to live (milliseconds), most wakes to keep,
--       '' if it is due later: then nobody is woken

if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[4])
  redis.call('ZADD', KEYS[2], ARGV[3], ARGV[1])
end
if ARGV[6] ~= '' then
  redis.call('LPUSH', KEYS[3], ARGV[1])
  redis.call('LTRIM', KEYS[3], 0, ARGV[5] - 1)
end
