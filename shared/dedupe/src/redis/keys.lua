-- What every script begins with: the slot's names, its time, and its packed keys.
--
-- KEYS: the slot's index of pages, its generation; then the events' plain keys.
--
-- A key is in one of two places, never in both. While it is undecided (claimed, rejecting) it is a plain string. Once it is
-- settled it is an entry of 22 bytes in a small hash, which Redis keeps as one flat listpack: no field has a life of its own,
-- so the hashes of a quarter of a window (a page) are made to expire together, a whole window after the page takes no more.
-- An entry is field: 10 bytes of the event's key; value: 8 bytes of payload hash (the first counts redrives), and 'X' where the event was rejected. Which
-- of the page's hashes it is in comes from 4 further bytes. Should two events ever meet in all of these, their payloads differ:
-- the later one is diverted as a conflict, and is not lost.
--
-- New events are in no page, and to look for each of them in each page's hashes is slow. So a page has a bitmap, of which each
-- entry sets a bit: where it is not set, the page has no such entry. Many bits are read by one command.
--
-- The index is one small string: the next page's number, then of each page its number, the window it serves and how many bits
-- choose its hashes, how many entries were put there, when it takes no more, and when it expires, in milliseconds.

local HASH_ENTRIES = 64 -- on average, when a page is full; a listpack may have 128 at the least, and the scatter is 8
local MAP_BITS = 16 * HASH_ENTRIES -- for each hash: of a full page's bits one in sixteen is set
local FIRST_BITS, MOST_BITS = 6, 21 -- the bitmap of 2 ^ 21 hashes takes 256 MiB; a string may have 512
local call, char, floor = redis.call, string.char, math.floor

local index, slot = KEYS[1], KEYS[1]:match('{.*}')
local events = #KEYS - 2
local t = call('TIME')
local now = t[1] * 1000 + floor(t[2] / 1000)
local clock = string.format('%013.0f', now)

local pages, next_page = {}, 1

local function page_of(number, window, bits, count, ends, expires)
  local name = slot .. string.format(':%.0f:', number)
  return {
    number = number, window = window, bits = bits, count = count, ends = ends, expires = expires,
    hashes = 2 ^ bits, prefix = 'p:' .. name, map = 'm:' .. name,
  }
end

do
  local text = call('GET', index)
  if text then
    next_page = tonumber(text:match('^%d+'))
    for a, b, c, d, e, f in text:gmatch('\n(%d+) (%d+) (%d+) (%d+) (%d+) (%d+)') do
      local page = page_of(tonumber(a), tonumber(b), tonumber(c), tonumber(d), tonumber(e), tonumber(f))
      if page.expires > now then
        pages[#pages + 1] = page
      end
    end
  end
end

-- Where the event at a position is packed: the number of which a page takes the last bits for its hash and for its bit, and
-- its field in the hash.
local function place_of(at)
  local key = KEYS[2 + at]
  local start = #key - 16
  local a, b, c, d = key:byte(start + 1, start + 4)
  return ((a * 256 + b) * 256 + c) * 256 + d, key:sub(start + 6, start + 15)
end

-- The name of an event's hash in a page.
local function hash_of(page, number)
  local n = number % page.hashes
  return page.prefix .. char(floor(n / 65536), floor(n / 256) % 256, n % 256)
end

local function bit_of(page, number)
  return number % (page.hashes * MAP_BITS)
end

-- Who claimed, and for which request: a claim's value without its time, and without the hash that may follow after a NUL. No
-- write stream's name has one; owner and offset, of 24 bytes, may.
local function claimant(value)
  local nul = value:find('\0', 39, true)
  return value:sub(15, nul and nul - 1 or -1)
end

-- What stands at each event's key, false where nothing does, and the hash it is in where it is packed.
local function look()
  local found, hashes = call('MGET', unpack(KEYS, 3)), {}
  local missing, numbers, fields = {}, {}, {}
  for at = 1, events do
    if not found[at] then
      missing[#missing + 1] = at
      numbers[at], fields[at] = place_of(at)
    end
  end
  local query, asked
  for i = #pages, 1, -1 do
    local page = pages[i]
    if #missing == 0 then
      break
    end
    if asked ~= page.hashes then
      asked, query = page.hashes, {}
      for j, at in ipairs(missing) do
        query[3 * j - 2], query[3 * j - 1], query[3 * j] = 'GET', 'u1', bit_of(page, numbers[at])
      end
    end
    local still = {}
    for j, set in ipairs(call('BITFIELD_RO', page.map, unpack(query))) do
      local at = missing[j]
      local hash = set == 1 and hash_of(page, numbers[at])
      local value = hash and call('HGET', hash, fields[at])
      if value then
        found[at] = #value == 8 and 'D' .. value or 'X' .. value:sub(1, 8)
        hashes[at] = hash
      else
        still[#still + 1] = at
      end
    end
    if #still < #missing then
      missing, asked = still, nil
    end
  end
  return found, hashes
end

-- The page that takes entries of this window now. A page that is full before its time is followed by one of four times
-- the hashes; one that lived its time has told how many its follower needs.
local function open_page(window)
  local page
  for i = #pages, 1, -1 do
    if pages[i].window == window then
      page = pages[i]
      break
    end
  end
  local bits = FIRST_BITS
  if page then
    local full = page.count >= HASH_ENTRIES * page.hashes
    if not full and page.ends > now then
      return page
    elseif full then
      bits = math.min(page.bits + 2, MOST_BITS)
    else
      while bits < MOST_BITS and HASH_ENTRIES * 2 ^ bits < page.count do
        bits = bits + 1
      end
    end
  end
  local ends = now + math.max(1, floor(window / 4))
  page = page_of(next_page, window, bits, 0, ends, ends + window)
  next_page = next_page + 1
  pages[#pages + 1] = page
  return page
end

local function save_pages()
  local lines = {string.format('%.0f', next_page)}
  for i, page in ipairs(pages) do
    lines[1 + i] = string.format('%.0f %.0f %.0f %.0f %.0f %.0f',
      page.number, page.window, page.bits, page.count, page.ends, page.expires)
  end
  call('SET', index, table.concat(lines, '\n'))
end

-- Makes a key of a page expire with it.
local function expire(key, page)
  call('PEXPIREAT', key, string.format('%.0f', page.expires))
end

-- Packs values ('D' or 'X' and 8 bytes) by their event's position, in place of what was found there. What is in the way is
-- taken out first: a full server lets a script begin that way, and a script that has begun is let to its end. So settling
-- goes on while claims are refused, and makes room.
local function pack(values, window, found, hashes)
  local plain, any = {}, false
  for at = 1, events do
    if values[at] then
      any = true
      if hashes[at] then
        local _, field = place_of(at)
        call('HDEL', hashes[at], field)
      elseif found[at] then
        plain[#plain + 1] = KEYS[2 + at]
      end
    end
  end
  if not any then
    return
  end
  if #plain > 0 then
    call('DEL', unpack(plain))
  end
  local placed, page, sets = {}, nil, {}
  local function mark()
    if #sets > 0 then
      call('BITFIELD', page.map, unpack(sets))
      expire(page.map, page)
    end
    sets = {}
  end
  for at = 1, events do
    local value = values[at]
    if value and not placed[KEYS[2 + at]] then
      placed[KEYS[2 + at]] = true
      local open = open_page(window)
      if open ~= page then
        mark()
        page = open
      end
      local number, field = place_of(at)
      local hash, n = hash_of(page, number), #sets
      call('HSET', hash, field, value:sub(1, 1) == 'D' and value:sub(2) or value:sub(2) .. 'X')
      if call('HLEN', hash) == 1 then
        expire(hash, page)
      end
      sets[n + 1], sets[n + 2], sets[n + 3], sets[n + 4] = 'SET', 'u1', bit_of(page, number), '1'
      page.count = page.count + 1
    end
  end
  mark()
  save_pages()
end
