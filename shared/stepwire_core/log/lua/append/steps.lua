-- Steps: put, and removed with all that is below them.
--
-- A removed step stays removed: its end, and what its children still send, may come later. `x:<step>` in `meta` remembers
-- it, and nothing but a new start brings it back.

local function put_step(call, id, parent, payload, starts)
  local old = redis.call('HGET', call.state, 's:' .. id)
  if old then
    close_streams(call, id)
  else
    if call.mode == 'close' then return false end
    if not starts and redis.call('HEXISTS', call.meta, 'x:' .. id) == 1 then return false end
    call.steps = call.steps + 1
  end
  put(call, 's:' .. id, old, parent, payload)
  return true
end

local function start_step(call, id, parent, payload)
  return put_step(call, id, parent, payload, true)
end

local function change_step(call, id, parent, payload)
  return put_step(call, id, parent, payload, false)
end

OPERATIONS.start_step.fold = start_step
OPERATIONS.new_step.fold = start_step
OPERATIONS.update_step.fold = change_step
OPERATIONS.end_step.fold = change_step

local function drop_kids(call, id)
  local key = 'k:' .. id
  local kids = redis.call('HGET', call.state, key)
  if not kids then return end
  for i = 1, string.match(kids, '^%d+') do drop(call, call.state, key .. ' ' .. i) end
  drop(call, call.state, key)
end

-- Deletes fields of the state that were counted off already, and remembers which steps among them were removed.
local function delete_fields(call, fields)
  local steps, removed = {}, {}
  for _, field in ipairs(fields) do
    if is_of('s:', field) then
      steps[#steps + 1] = field
      removed[#removed + 1] = 'x:' .. string.sub(field, 3)
      removed[#removed + 1] = ''
    end
  end
  if #steps > 0 then call.steps = call.steps - redis.call('HDEL', call.state, unpack(steps)) end
  redis.call('HDEL', call.state, unpack(fields))
  -- That they were removed is remembered, so it counts.
  if #removed > 0 then call.bytes = call.bytes + ENTRY * redis.call('HSET', call.meta, unpack(removed)) end
end

-- Removes what `collect` has found: a step and all below it.
local function erase(call, found)
  local has_streams = redis.call('HLEN', call.open) > 0
  remove_from_parent(call, found[1])
  local fields = {}
  for _, field in ipairs(found) do
    count_bytes(call, redis.call('HSTRLEN', call.state, field), 0)
    fields[#fields + 1] = field
    if is_of('s:', field) then
      local id = string.sub(field, 3)
      if has_streams then close_streams(call, id) end
      drop_kids(call, id)
    else
      forget(call, field)
    end
    if #fields == AT_ONCE or field == found[#found] then
      delete_fields(call, fields)
      fields = {}
    end
  end
  call.must_touch = true
end

-- Removes one of the fields below a step, with an event of its own. Returns how much that was.
local function prune_one(call, field, found)
  local id = string.sub(field, 3)
  if is_of('s:', field) then
    erase(call, found)
  else
    OPERATIONS.remove.fold(call, field)
  end
  store(call, REMOVAL_EVENTS[string.sub(field, 1, 2)], '{"id":"' .. id .. '"}')
  return #found + EVENT
end

-- Removes a part of what is below a step, if that is too much for one call: subtrees, each with an event of its own. Where
-- the search leads far down, `pruning` is the place to go on from. Returns false if nothing was removed, as where parents
-- point in a circle.
local function prune(call, root, found)
  local from, place, tries = string.match(redis.call('HGET', call.meta, 'pruning') or '', '^(%S+) (%S+) (%d+)$')
  local at, way, looked, done, in_a_row = 2, 1, 0, 0, 0
  if from == root then tries = tonumber(tries) else tries = 0 end
  if from == root and redis.call('HEXISTS', call.state, 's:' .. place) == 1 then
    local is_more
    found, is_more = collect(call, place, AT_ONCE)
    if is_more then at, way = #found, -1 else at, way = 1, 1 end
  end
  local before = tries
  while found[at] and done < AT_ONCE and looked < 2 * AT_ONCE do
    local field, some, is_more = found[at], nil, false
    local id = string.sub(field, 3)
    if id ~= root and redis.call('HEXISTS', call.state, field) == 1 then
      if is_of('s:', field) then
        some, is_more = collect(call, id, AT_ONCE)
        looked = looked + #some
      elseif REMOVAL_EVENTS[string.sub(field, 1, 2)] then
        some = {field}
      end
    end
    if is_more then
      -- Not one by one down a long chain.
      tries, in_a_row, found = tries + 1, in_a_row + 1, some
      if in_a_row > 2 then way = -1 end
      if way == 1 then at = 2 else at = #found end
      redis.call('HSET', call.meta, 'pruning', root .. ' ' .. id .. ' ' .. tries)
    else
      if some then
        done, in_a_row = done + prune_one(call, field, some), 0
      end
      at = at + way
    end
  end
  if done > 0 then redis.call('HDEL', call.meta, 'pruning') end
  return done > 0 or (tries > before and tries < 100)
end

OPERATIONS.remove_step.fold = function(call, id)
  if not call.is_indexed then build_index(call) end
  local found, is_more = collect(call, id, call.budget)
  if is_more and call.budget == AT_ONCE and not prune(call, id, found) then
    found, is_more = collect(call, id, math.huge)
  end
  call.is_unfinished = is_more
  if is_more then return false end
  call.budget = math.max(0, call.budget - #found)
  erase(call, found)
  if redis.call('HEXISTS', call.meta, 'pruning') == 1 then redis.call('HDEL', call.meta, 'pruning') end
  return true
end
