-- Ends a claim, unless it is over and another owner has it by now.
-- KEYS  the claim
-- ARGV  token  that of the owner
if redis.call('GET', KEYS[1]) == token then redis.call('DEL', KEYS[1]) end
