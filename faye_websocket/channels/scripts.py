"""Lua scripts that run in Redis, each of them atomically.

A channel has these keys: a stream of its messages, the id of the last message, and one
key for each message that must not be published twice. The entry of each message
includes the id of the previous one, which is published along with the message, so that
subscribers can detect missing messages.
"""

from __future__ import annotations

__all__ = ['BEAT', 'ENTER', 'LAST', 'PUBLISH', 'READ']

# The beginning of PUBLISH and READ, which finds the last id. The stream has it, too,
# unless all messages are trimmed: Redis may evict a key when its memory is full.
LAST = """
local last = redis.call('GET', KEYS[2])
if not last then
    local newest = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
    last = newest[1] and newest[1][1] or ''
end
"""

# Keys: the stream, the last id, the message's key. Arguments: 1 the number of messages
# that are kept, 2 the seconds for which the channel is kept, 3 the maximum age in
# milliseconds or '', 4 the seconds for which the message's key is kept, 5 its kind, 6
# the event or '', 7 the data, 8 the Pub/Sub channel, 9 the first number of an id in a
# millisecond, which makes the ids of two channels differ. It costs less per message to
# trim a hundred messages at a time than to trim each one.
PUBLISH = """
local known = redis.call('GET', KEYS[3])
if known then
    return known
end
local previous = last
local time = redis.call('TIME')
local now, number = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000), tonumber(ARGV[9])
local latest, latest_number = string.match(previous, '(%d+)-(%d+)')
if latest and tonumber(latest) >= now then
    now, number = tonumber(latest), tonumber(latest_number) + 1
end
local id = string.format('%.0f-%.0f', now, number)
redis.call('XADD', KEYS[1], id, 'p', previous, 'k', ARGV[5], 'e', ARGV[6], 'd', ARGV[7])
local history = tonumber(ARGV[1])
if redis.call('XLEN', KEYS[1]) > history + math.min(100, math.floor(history / 10)) then
    redis.call('XTRIM', KEYS[1], 'MAXLEN', history)
end
if ARGV[3] ~= '' then
    local oldest = tonumber(string.match(id, '^%d+')) - tonumber(ARGV[3])
    redis.call('XTRIM', KEYS[1], 'MINID', '~', string.format('%.0f', math.max(0, oldest)))
end
redis.call('EXPIRE', KEYS[1], ARGV[2])
redis.call('SET', KEYS[2], id, 'EX', ARGV[2])
redis.call('SET', KEYS[3], id, 'EX', ARGV[4])
local head = 'm\\0' .. id .. '\\0' .. previous .. '\\0' .. ARGV[5] .. '\\0' .. ARGV[6] .. '\\0'
redis.call('PUBLISH', ARGV[8], head .. ARGV[7])
return id
"""

# Keys: the stream, the last id. Arguments: 1 'after', 'on', 'recent' or 'all', 2 the id
# or the number, 3 the maximum age in milliseconds or '', 4 the maximum number of
# messages, 5 of bytes. Returns whether messages are lost, the last id, and the entries.
READ = """
local oldest, start, lost = 0, '-', 0
if ARGV[3] ~= '' then
    local now = redis.call('TIME')
    oldest = math.max(0, tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000) - tonumber(ARGV[3]))
    start = string.format('%.0f-0', oldest)
end
if ARGV[1] == 'recent' then
    local count = tonumber(ARGV[2])
    local newest = count > 0 and redis.call('XREVRANGE', KEYS[1], '+', start, 'COUNT', count) or {}
    if #newest == 0 then
        return {0, last, {}}
    end
    start = newest[#newest][1]
elseif ARGV[1] ~= 'all' then
    local after = ARGV[2]
    local behind = after == '' and '-' or '(' .. after
    local next = redis.call('XRANGE', KEYS[1], behind, '+', 'COUNT', 1)
    if #next == 0 then
        lost = after ~= last
    else
        lost = next[1][2][2] ~= after or tonumber(string.match(next[1][1], '^%d+')) < oldest
    end
    local is_kept = after ~= '' and tonumber(string.match(after, '^%d+')) >= oldest
    if not lost or ARGV[1] == 'on' and is_kept then
        start = behind
    end
    lost = lost and 1 or 0
else
    lost = 1
end
local entries = redis.call('XRANGE', KEYS[1], start, '+', 'COUNT', ARGV[4])
local size, count = 0, 0
local part = {}
for _, entry in ipairs(entries) do
    size = size + #entry[2][8]
    if count > 0 and size > tonumber(ARGV[5]) then
        break
    end
    count = count + 1
    part[count] = entry
end
return {lost, last, part}
"""

# Keys: the members of a channel. Arguments: 1 the seconds for which they are kept, 2
# the Pub/Sub channel, 3 the number of members to add, then these, then those to remove.
ENTER = """
local added = tonumber(ARGV[3])
for index = 4, #ARGV do
    redis.call(index < 4 + added and 'SADD' or 'SREM', KEYS[1], ARGV[index])
end
redis.call('EXPIRE', KEYS[1], ARGV[1])
redis.call('PUBLISH', ARGV[2], 'h')
"""

# Keys: the processes. Arguments: 1 this process, or '' for none; 2 the seconds for
# which processes are kept. Returns the time of this process's previous heartbeat or 0,
# the time now in milliseconds, and each process with the time of its last heartbeat.
BEAT = """
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local last = 0
if ARGV[1] ~= '' then
    last = redis.call('ZSCORE', KEYS[1], ARGV[1]) or 0
    redis.call('ZADD', KEYS[1], string.format('%.0f', now), ARGV[1])
    redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now - tonumber(ARGV[2]) * 1000))
    redis.call('EXPIRE', KEYS[1], ARGV[2])
end
return {last, string.format('%.0f', now), redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')}
"""
