-- Keeps the bytes of an element, for as long as its session lives.
--
-- KEYS  log, state, meta, open
-- ARGV  element, bytes
--
-- Returns {'ok'}, or {'unknown'}.

local expires = redis.call('HGET', KEYS[3], 'expires')
if not expires then return {'unknown'} end

local files = string.sub(KEYS[1], 1, -4) .. 'files'
redis.call('HSET', files, ARGV[1], ARGV[2])
redis.call('PEXPIREAT', files, expires)
return {'ok'}
