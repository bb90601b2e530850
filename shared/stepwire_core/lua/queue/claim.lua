-- Takes the next jobs that wait and that no limit holds back, for the length of a lease.
--
-- ARGV  token of the worker, lease (milliseconds), most jobs to take, most that one subject may have at a time or 0,
--       number of handlers with a limit, each with its limit, then the jobs that this worker still executes itself
--
-- Returns {now, end of the lease, then for each job {id, which try it is, the job as arq wrote it or nil, {its slots}}}.

local PAGE, MOST = 50, 1000
local token, lease, room, per_subject = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local limits, own = {}, {}
for i = 6, 5 + 2 * ARGV[5], 2 do limits['h:' .. ARGV[i]] = tonumber(ARGV[i + 1]) end
for i = 6 + 2 * ARGV[5], #ARGV do own[ARGV[i]] = true end
local limited = per_subject > 0 or next(limits) ~= nil

local waiting = string.format('%.3f', exactly_now - WAITING_MS)

-- What has come due waits from now on. One whose worker was lost has waited before: it goes before all others.
for _, id in ipairs(redis.call('ZRANGEBYSCORE', queue, '(' .. waiting, now, 'LIMIT', 0, MOST)) do
  if not own[id] and not is_taken(id) then
    if redis.call('SREM', queue .. ':taken', id) == 1 then waits(id, exactly_now, LAPSED) else comes_due(id) end
  end
end

local function is_full(slot)
  local key, most = queue .. ':has:' .. slot, limits[slot] or per_subject
  if redis.call('SCARD', key) < most then return false end
  for _, id in ipairs(redis.call('SMEMBERS', key)) do
    if not is_taken(id) then redis.call('SREM', key, id) end
  end
  return redis.call('SCARD', key) >= most
end

-- The slot that has no place for another one, or nil; and all slots that it needs.
local function find_slots(id)
  local slots, job = {}, request(id)
  local handler, subject = 'h:' .. tostring(job.handler), job.subject
  if limits[handler] then slots[1] = handler end
  if per_subject > 0 and type(subject) == 'string' then slots[#slots + 1] = 's:' .. redis.sha1hex(subject) end
  for _, slot in ipairs(slots) do
    if is_full(slot) then return slot, slots end
  end
  return nil, slots
end

local function hold(id, score, slot, slots)
  redis.call('ZADD', queue .. ':held:' .. slot, score, id)
  redis.call('HSET', queue .. ':held', id, score)
  -- Whoever leaves the slot calls it; this is for those that die over that, and for limits that have changed.
  put(id, now + HELD_MS)
  for _, other in ipairs(slots) do
    -- Perhaps it was called for that one: then it is the next one's.
    if other ~= slot and not is_full(other) then offer(other) end
  end
end

local function claim(id, slots)
  take(id, token, lease)
  for _, slot in ipairs(slots) do
    redis.call('SADD', queue .. ':has:' .. slot, id)
    redis.call('ZREM', queue .. ':held:' .. slot, id)
  end
  local try = redis.call('INCR', TRIED .. id)
  redis.call('EXPIRE', TRIED .. id, TRIED_TTL_S)
  return {id, try, redis.call('GET', JOB .. id), slots}
end

local taken, passed, seen = {now, now + lease}, 0, 0
while #taken - 2 < room and seen < MOST do
  local page = redis.call('ZRANGEBYSCORE', queue, '-inf', waiting, 'WITHSCORES', 'LIMIT', passed, PAGE)
  for i = 1, #page, 2 do
    if #taken - 2 == room then break end
    local id, score, full, slots = page[i], page[i + 1], nil, {}
    seen = seen + 1
    if own[id] or is_taken(id) then
      passed = passed + 1
    else
      if limited then full, slots = find_slots(id) end
      if full then hold(id, score, full, slots) else taken[#taken + 1] = claim(id, slots) end
    end
  end
  if #page < 2 * PAGE then break end
end
return taken
