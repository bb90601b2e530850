-- Counts a call in the window that the first of them has begun.
-- KEYS  the counter
-- ARGV  window_ms  the length of the window
-- Returns how many there are now, and the ms until the window ends.
local count = redis.call('INCR', KEYS[1])
if count == 1 then
  redis.call('PEXPIRE', KEYS[1], window_ms)
end
return {count, redis.call('PTTL', KEYS[1])}
