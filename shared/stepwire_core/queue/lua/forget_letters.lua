-- Forgets dead letters, and the jobs of their runs.
--
-- KEYS  those of row.lua, then those of dead_letter.lua
-- ARGV  the runs

local order, letters, sessions = KEYS[3], KEYS[4], KEYS[5]
for _, run in ipairs(ARGV) do
  redis.call('ZREM', order, run)
  redis.call('HDEL', letters, run)
  redis.call('HDEL', sessions, run)
  -- The job of a worker that was stopped may still wait: the next worker would find that its run is over, and make the
  -- letter once more.
  redis.call('ZREM', queue, run)
  redis.call('HDEL', ABOUT, run)
  redis.call('DEL', JOB .. run, TRIED .. run)
end
