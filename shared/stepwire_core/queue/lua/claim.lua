-- Takes the next jobs that wait and that no limit holds back, for the length of a lease.
--
-- ARGV  token        that of the worker
--       lease_ms     how long it has them
--       room         the most jobs to take
--       per_subject  the most that one subject may have at a time, or 0
--       limited      how many handlers have a limit
--       then each of these handlers with its limit, then the jobs that this worker still executes itself
--
-- Returns {now, end of the lease, 1 if a further call may find more, then for each job {id, which try it is, the job as
-- arq wrote it or nil, {its slots}}}. What holds a job back it knows from beside the job, and it looks at no more than
-- MOST of them: those behind a full limit are out of the way for the next call.

local PAGE, MOST, SAMPLE, MOST_BYTES = 50, 100, 100, 512 * 1024
local FEW, FAR = 20, 5
lease_ms, room, per_subject, limited = tonumber(lease_ms), tonumber(room), tonumber(per_subject), tonumber(limited)
local limits, own, owned = {}, {}, 0
for i = HEAD + 1, HEAD + 2 * limited, 2 do limits['h:' .. ARGV[i]] = tonumber(ARGV[i + 1]) end
for i = HEAD + 2 * limited + 1, #ARGV do
  own[ARGV[i]] = true
  owned = owned + 1
end
local has_limits = per_subject > 0 or limited > 0

local waiting = string.format('%.3f', exactly_now - WAITING_MS)

-- A clock that has gone back leaves the ends of leases far in the future. A few of them are drawn each time: a worker that
-- lives renews its lease long before, and what a dead one had is taken up.
local drawn = redis.call('SRANDMEMBER', queue .. ':taken', FEW)
if #drawn > 0 then
  local most = FAR * lease_ms
  for i, till in ipairs(redis.call('ZMSCORE', queue, unpack(drawn))) do
    if till and tonumber(till) > now + most then
      put(drawn[i], now + most)
      redis.call('PEXPIRE', HAS .. drawn[i], most)
    end
  end
end

-- Jobs that have come due wait from now on. A job whose worker was lost has waited before: it goes before all others, and
-- the slots that it had are free.
local come = 0
for _, id in ipairs(redis.call('ZRANGEBYSCORE', queue, '(' .. waiting, now, 'LIMIT', 0, MOST + owned)) do
  if looked_at > MOST_BYTES then break end
  if not own[id] and not is_taken(id) then
    come = come + 1
    if redis.call('SREM', queue .. ':taken', id) == 1 then
      local _, handler, subject = about(id)
      leave(id, {'h:' .. handler, 's:' .. subject})
      waits(id, exactly_now, LAPSED)
    else
      comes_due(id)
    end
  end
end

-- Full ones stay so while this is executed.
local full_ones = {}

local function is_full(slot)
  if full_ones[slot] then return true end
  local key, most = queue .. ':has:' .. slot, limits[slot] or per_subject
  if redis.call('SCARD', key) < most then return false end
  -- Jobs that no worker has any more, since the queue was lost or emptied by hand.
  local some, keys, holders = redis.call('SRANDMEMBER', key, SAMPLE), {}, {}
  for i, id in ipairs(some) do keys[i] = HAS .. id end
  if #some > 0 then holders = redis.call('MGET', unpack(keys)) end
  for i, holder in ipairs(holders) do
    if not holder then redis.call('SREM', key, some[i]) end
  end
  full_ones[slot] = redis.call('SCARD', key) >= most
  return full_ones[slot]
end

-- The slot that has no place for another one, or nil; and all slots that it needs.
local function find_slots(id)
  local slots, _, handler, subject = {}, about(id)
  if limits['h:' .. handler] then slots[1] = 'h:' .. handler end
  if per_subject > 0 and subject ~= '-' then slots[#slots + 1] = 's:' .. subject end
  for _, slot in ipairs(slots) do
    if is_full(slot) then return slot, slots end
  end
  return nil, slots
end

local function hold(id, score, slot, slots)
  redis.call('ZADD', queue .. ':held:' .. slot, score, id)
  redis.call('HSET', queue .. ':held', id, score)
  -- The job that leaves the slot calls the next one. This is for a worker that dies before it does, and for changed limits.
  put(id, now + HELD_MS)
  for _, other in ipairs(slots) do
    -- Perhaps it was called for that one: then it is the next one's.
    if other ~= slot and not is_full(other) then offer(other) end
  end
end

local function claim(id, slots)
  take(id, token, lease_ms)
  for _, slot in ipairs(slots) do
    redis.call('SADD', queue .. ':has:' .. slot, id)
    redis.call('ZREM', queue .. ':held:' .. slot, id)
  end
  local try = redis.call('INCR', TRIED .. id)
  redis.call('EXPIRE', TRIED .. id, TRIED_TTL_S)
  local job = body(id)
  if job then looked_at = looked_at + #job end
  return {id, try, job, slots}
end

local is_more_due = come >= MOST or looked_at > MOST_BYTES
local taken, passed, seen, more = {now, now + lease_ms, 0}, 0, 0, false
while #taken - 3 < room do
  local page = redis.call('ZRANGEBYSCORE', queue, '-inf', waiting, 'WITHSCORES', 'LIMIT', passed, PAGE)
  for i = 1, #page, 2 do
    if #taken - 3 == room then break end
    if seen >= MOST or looked_at > MOST_BYTES then
      more = true
      break
    end
    local id, score, full, slots = page[i], page[i + 1], nil, {}
    if own[id] or is_taken(id) then
      passed = passed + 1
    else
      seen = seen + 1
      if has_limits then full, slots = find_slots(id) end
      if full then hold(id, score, full, slots) else taken[#taken + 1] = claim(id, slots) end
    end
  end
  if more or #page < 2 * PAGE then break end
end
if more or is_more_due then taken[3] = 1 end
return taken
