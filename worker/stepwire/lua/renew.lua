-- Renews the leases of jobs that a worker executes, unless somebody else has taken them meanwhile.
--
-- KEYS  queue (arq's sorted set: job id by the time it is due, milliseconds)
-- ARGV  prefix of the in-progress keys, lease, its new end (milliseconds), then each job with the end of its
--       lease as this worker knows it
--
-- Returns the jobs that are somebody else's.
--
-- Every claim moves the score on, so one that is ahead of what this worker has written was written by another.

local prefix, lease, till = ARGV[1], ARGV[2], ARGV[3]
local jobs, lost, scores = {}, {}, {}
for i = 4, #ARGV, 2 do jobs[#jobs + 1] = ARGV[i] end
for i, score in ipairs(redis.call('ZMSCORE', KEYS[1], unpack(jobs))) do
  local job, ours = jobs[i], tonumber(ARGV[2 + 2 * i + 1])
  -- Not in the queue: done elsewhere, or the queue is lost. Nobody can take it, so there is nothing to keep.
  if score then
    score = tonumber(score)
    if score > ours then
      lost[#lost + 1] = job
    -- Behind: this worker has just given it back, or a failover has forgotten the last renewal.
    elseif score == ours or redis.call('EXISTS', prefix .. job) == 1 then
      redis.call('SET', prefix .. job, '1', 'PX', lease)
      scores[#scores + 1] = till
      scores[#scores + 1] = job
    end
  end
end
if #scores > 0 then redis.call('ZADD', KEYS[1], 'XX', unpack(scores)) end
return lost
