-- Puts a job into arq's queue, once, and wakes a worker.
--
-- KEYS  arq's job key, queue, wake list
-- ARGV  job id, the job as arq writes it, in how long it is due, time to live (milliseconds), most wakes to keep
--
-- By the server's clock, as in claim.lua: a job that is due now must not be due in a millisecond for the worker that
-- it wakes, whose clock is another.

if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[4])
  local clock = redis.call('TIME')
  local due = clock[1] * 1000 + math.floor(clock[2] / 1000) + ARGV[3]
  redis.call('ZADD', KEYS[2], string.format('%.0f', due), ARGV[1])
end
if ARGV[3] == '0' then
  redis.call('LPUSH', KEYS[3], ARGV[1])
  redis.call('LTRIM', KEYS[3], 0, ARGV[5] - 1)
end
