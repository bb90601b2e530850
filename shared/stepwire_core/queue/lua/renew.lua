-- Renews the leases of jobs that a worker executes, unless another worker has taken them meanwhile.
--
-- ARGV  token     that of the worker
--       lease_ms  how long it has them from now on
--       then for each job: id, and until_ms, the end of its lease as this worker knows it
--
-- Returns {the new end of the leases, the jobs that another worker has …}.

lease_ms = tonumber(lease_ms)
local jobs, keys, scores = {}, {}, {}
local lost = {now + lease_ms}
for at = HEAD, #ARGV - 1, WIDTH do
  jobs[#jobs + 1] = ARGV[at + ID]
  keys[#keys + 1] = HAS .. ARGV[at + ID]
end
local holders, ends = redis.call('MGET', unpack(keys)), redis.call('ZMSCORE', queue, unpack(jobs))
for i, id in ipairs(jobs) do
  local holder, known = holders[i], tonumber(ARGV[HEAD + (i - 1) * WIDTH + UNTIL_MS])
  if not ends[i] then
    -- Done elsewhere, or the queue is lost. No worker can take it, but a caller that awaits it sees that it is executed.
    if not holder or holder == token then redis.call('SET', HAS .. id, token, 'PX', lease_ms) end
  else
    local till = tonumber(ends[i])
    if holder == token or (not holder and till == known) then
      redis.call('SET', HAS .. id, token, 'PX', lease_ms)
      scores[#scores + 1] = string.format('%.0f', now + lease_ms)
      scores[#scores + 1] = id
    elseif holder or till > known then
      lost[#lost + 1] = id
    end
    -- Else this worker has just given it back, or a failover has forgotten the last renewal.
  end
end
if #scores > 0 then redis.call('ZADD', queue, 'XX', unpack(scores)) end
return lost
