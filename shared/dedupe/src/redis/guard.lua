-- The server's identity: the id of its replication history, which a promotion or a restart changes, else the id of its run.
-- Nil where it shows neither.
local function identity()
  for _, source in ipairs({{'replication', 'master_replid'}, {'server', 'run_id'}}) do
    local info = redis.pcall('INFO', source[1])
    local id = type(info) == 'string' and info:match(source[2] .. ':(%w+)')
    if id then
      return id
    end
  end
end

-- Whether the data of this server is known to be complete for this generation. '0' asks nothing.
local function guarded(generation)
  return generation == '0' or redis.call('GET', KEYS[2]) == (identity() or '') .. ' ' .. generation
end

local function epoch()
  return redis.error_reply('EPOCH this server was not adopted for this generation')
end
