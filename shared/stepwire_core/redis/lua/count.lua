-- Counts a call in the window that the first of them has begun.
-- KEYS  the counter
-- ARGV  window_ms  the length of the window
-- Returns how many there are now, and the ms until the window ends.
local count = redis.call('INCR', KEYS[1])
local left_ms = redis.call('PTTL', KEYS[1])
-- It has more left than its length if the clock has gone back.
if count == 1 or left_ms > tonumber(window_ms) then
  redis.call('PEXPIRE', KEYS[1], window_ms)
  left_ms = tonumber(window_ms)
end
return {count, left_ms}
