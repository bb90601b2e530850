-- A job that waits for something leaves its slots to others; coming back it has them again, even if they are full then.
--
-- ARGV  job id, 'leave' or 'return', then its slots

local id, slots = ARGV[1], {unpack(ARGV, 3)}
if ARGV[2] == 'leave' then return leave(id, slots) end
for _, slot in ipairs(slots) do redis.call('SADD', queue .. ':has:' .. slot, id) end
