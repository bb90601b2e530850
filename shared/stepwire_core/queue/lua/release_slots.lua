-- A job that waits for something leaves its slots to others; coming back it has them again, even if they are full then.
--
-- ARGV  id    that of the job
--       what  'leave' or 'return'
--       then its slots

local slots = {unpack(ARGV, HEAD + 1)}
if what == 'leave' then return leave(id, slots) end
for _, slot in ipairs(slots) do redis.call('SADD', queue .. ':has:' .. slot, id) end
