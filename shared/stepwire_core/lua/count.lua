-- Counts a call in the window that the first of them has begun.
-- KEYS[1] the counter   ARGV[1] length of the window, ms
-- Returns how many there are now, and the ms until the window ends.
local count = redis.call('INCR', KEYS[1])
if count == 1 then
  redis.call('PEXPIRE', KEYS[1], ARGV[1])
end
return {count, redis.call('PTTL', KEYS[1])}
