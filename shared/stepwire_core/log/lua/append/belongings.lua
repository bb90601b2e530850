-- Documents that belong to a step: its elements (e:), its feedback (f:), its asks (a:), its actions (b:), and the kinds of later versions.
-- A document that comes after its step was removed is not stored, and the bytes that are kept for it go.

local function set_ask(call, id, value)
  if redis.call('HSET', call.meta, id, value) == 1 then call.bytes = call.bytes + ENTRY end
end

-- Removes the data of a document that is outside of the state.
local function forget(call, field)
  if is_of('e:', field) then drop(call, call.base .. 'files', string.sub(field, 3)) end
  if is_of('a:', field) then set_ask(call, field, 'ended') end
end

OPERATIONS.put.fold = function(call, field, parent, payload)
  if redis.call('HEXISTS', call.meta, 'x:' .. parent) == 1 and redis.call('HEXISTS', call.state, 's:' .. parent) == 0 then
    forget(call, field)
    return false
  end
  put(call, field, redis.call('HGET', call.state, field), parent, payload)
  return true
end

OPERATIONS.remove.fold = function(call, field)
  forget(call, field)
  remove_from_parent(call, field)
  return drop(call, call.state, field)
end

OPERATIONS.open_ask.fold = function(call, field, parent, payload)
  set_ask(call, field, 'open')
  return OPERATIONS.put.fold(call, field, parent, payload)
end

OPERATIONS.end_ask.fold = function(call, field, parent, payload)
  if redis.call('HGET', call.meta, field) ~= 'open' then return false end
  set_ask(call, field, 'ended')
  return OPERATIONS.put.fold(call, field, parent, payload)
end
