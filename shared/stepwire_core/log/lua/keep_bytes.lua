-- Keeps the bytes of an element, for as long as its session lives.
--
-- KEYS  log, state, meta, open
-- ARGV  element, content
--       max_bytes  of the session (see append.lua)
--
-- Returns {'ok'}, or {'unknown'}, or {'full', 'bytes', the limit}.

max_bytes = tonumber(max_bytes)
local expires, kept = unpack(redis.call('HMGET', KEYS[3], 'expires', 'bytes'))
if not expires then return {'unknown'} end
if (tonumber(kept) or 0) + #content > max_bytes then return {'full', 'bytes', max_bytes} end

local files = base_of(KEYS) .. 'files'
local before = redis.call('HSTRLEN', files, element)
redis.call('HSET', files, element, content)
redis.call('HINCRBY', KEYS[3], 'bytes', growth(before, #content))
redis.call('PEXPIREAT', files, expires)
return {'ok'}
