-- Appends a batch, and if it has stored anything, puts the job of its run into the queue: both, or nothing.
-- In the library of functions append.lua and the queue's enqueue.lua are `append` and `enqueue`.
--
-- KEYS  those of append.lua, those of enqueue.lua
-- ARGV  count  how many arguments append.lua has
--       then these, then those of enqueue.lua
--
-- Returns what append.lua returns.

local clock, queue, wake = redis.call('TIME'), KEYS[5], KEYS[6]
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
if are_rights_due('submit', now) then
  local refusal = lacks_right('submit', now, {
    {'ZADD', queue, 0, 'x'}, {'LPUSH', wake, 'x'}, {'LTRIM', wake, 0, 0}, {'HSET', queue .. ':about', 'x', ''},
    {'PEXPIRE', queue .. ':about', 1}, {'SET', job_keys(queue) .. 'x', ''}})
  if refusal then return refusal end
end

local last = HEAD + count
local appended = append({KEYS[1], KEYS[2], KEYS[3], KEYS[4]}, {unpack(ARGV, HEAD + 1, last)})
if appended[1] == 'ok' and appended[4] > 0 then enqueue({KEYS[5], KEYS[6]}, {unpack(ARGV, last + 1)}) end
return appended
