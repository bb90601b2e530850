-- Keeps the bytes of an element, for as long as its session lives.
--
-- KEYS  log, state, meta, open
-- ARGV  element, content
--       max_bytes  of the session (see append.lua)
--
-- Returns {'ok'}, or {'unknown'}, or {'full', 'bytes', the limit}.

local ENTRY = 100
max_bytes = tonumber(max_bytes)
local expires, kept = unpack(redis.call('HMGET', KEYS[3], 'expires', 'bytes'))
if not expires then return {'unknown'} end
if (tonumber(kept) or 0) + #content > max_bytes then return {'full', 'bytes', max_bytes} end

local files = string.sub(KEYS[1], 1, -4) .. 'files'
local before = redis.call('HSTRLEN', files, element)
redis.call('HSET', files, element, content)
local entries = 0
if #content > 0 then entries = entries + ENTRY end
if before > 0 then entries = entries - ENTRY end
redis.call('HINCRBY', KEYS[3], 'bytes', #content - before + entries)
redis.call('PEXPIREAT', files, expires)
return {'ok'}
