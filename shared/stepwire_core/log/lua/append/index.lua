-- The index of the state: `k:<step>` has what belongs to a step, the fields of its children, elements, asks and feedback.
-- It is `<n> - <field> <field> … `, and `k:<step> <1 … n>` are as many more of the same form, which are full. `kids` in
-- `meta` is the number of steps that the index knows: a session of an older version gets one when it needs it.

local function is_of(prefix, field)
  return string.sub(field, 1, 2) == prefix
end

local function drop(call, key, field)
  count_bytes(call, redis.call('HSTRLEN', key, field), 0)
  return redis.call('HDEL', key, field) == 1
end

local function write_kids(call, field, before, value)
  local length = 0
  if before then length = #before end
  count_bytes(call, length, #value)
  redis.call('HSET', call.state, field, value)
end

local function add_kid(call, parent, field)
  if not call.is_indexed or parent == NO_PARENT then return end
  local key = 'k:' .. parent
  local head = redis.call('HGET', call.state, key)
  if head and #head > KIDS_BYTES then
    local full = string.match(head, '^%d+') + 1
    write_kids(call, key .. ' ' .. full, nil, head)
    write_kids(call, key, head, full .. ' - ' .. field .. ' ')
  else
    write_kids(call, key, head, (head or '0 - ') .. field .. ' ')
  end
end

local function remove_kid(call, parent, field)
  if not call.is_indexed or parent == NO_PARENT then return end
  local key = 'k:' .. parent
  local head = redis.call('HGET', call.state, key)
  if not head then return end
  local full, place, value = tonumber(string.match(head, '^%d+')), key, head
  for i = full + 1, 1, -1 do
    if i <= full then
      place = key .. ' ' .. i
      value = redis.call('HGET', call.state, place)
    end
    local from, to = string.find(value, ' ' .. field .. ' ', 1, true)
    if from then
      local left = string.sub(value, 1, from) .. string.sub(value, to + 1)
      if string.find(left, ' %- .') then return write_kids(call, place, value, left) end
      if full == 0 then return drop(call, call.state, key) end
      -- The last full one takes the place of one that is empty.
      local last = redis.call('HGET', call.state, key .. ' ' .. full)
      drop(call, call.state, key .. ' ' .. full)
      local rest = head
      if i > full then rest = last end
      if i < full then write_kids(call, place, value, last) end
      return write_kids(call, key, head, full - 1 .. string.match(rest, ' %- .*'))
    end
  end
end

local function parent_of(value)
  if not value then return nil end
  return string.match(value, '^%d+ (%S+) ')
end

local function remove_from_parent(call, field)
  local parent = parent_of(redis.call('HGET', call.state, field))
  if parent then remove_kid(call, parent, field) end
end

local function build_index(call)
  local all = redis.call('HGETALL', call.state)
  call.is_indexed = true
  for i = 1, #all, 2 do
    if is_of('k:', all[i]) then drop(call, call.state, all[i]) end
  end
  for i = 1, #all, 2 do
    local parent = parent_of(all[i + 1])
    if parent and not is_of('k:', all[i]) then add_kid(call, parent, all[i]) end
  end
end

-- Puts a field into the state. What replaces an old value keeps its place in the order.
local function put(call, field, old, parent, payload)
  local order, was, before = nil, nil, 0
  if old then
    order, was = string.match(old, '^(%d+) (%S+) ')
    before = #old
  end
  if was ~= parent then
    if was then remove_kid(call, was, field) end
    add_kid(call, parent, field)
  end
  local value = (order or call.seq + 1) .. ' ' .. parent .. ' ' .. payload
  count_bytes(call, before, #value)
  redis.call('HSET', call.state, field, value)
end

-- The fields of a step and of all below it, the nearest first; and whether there are more than `most`.
local function collect(call, id, most)
  local found, seen, i = {'s:' .. id}, {['s:' .. id] = true}, 1
  while found[i] do
    local key, kids, full = nil, nil, 0
    if is_of('s:', found[i]) then
      key = 'k:' .. string.sub(found[i], 3)
      kids = redis.call('HGET', call.state, key)
      if kids then full = tonumber(string.match(kids, '^%d+')) end
    end
    while kids do
      for field in string.gmatch(string.sub(kids, string.find(kids, ' - ', 1, true) + 3), '%S+') do
        -- A parent that comes from a user may point in a circle.
        if not seen[field] then
          seen[field] = true
          found[#found + 1] = field
        end
      end
      if #found > most then return found, true end
      kids = nil
      if full > 0 then kids = redis.call('HGET', call.state, key .. ' ' .. full) end
      full = full - 1
    end
    i = i + 1
  end
  return found, false
end
