-- Reads tickets for the tests with web-servers/lua/auth_tkt.lua, one request a line.
--
--   luajit read.lua FOLDER_OF_AUTH_TKT READERS.lua
--
-- READERS.lua returns a table: name -> options. A line of stdin holds the name of a reader, Unix
-- time, address and Cookie header, the last two in hex, between tabs; a line of stdout says what
-- was found: "good", user in hex, scheme; or "refused" and the reason.

package.path = arg[1] .. "/?.lua"
local auth_tkt = require("auth_tkt")

local now_s
local readers = {}
for name, options in pairs(dofile(arg[2])) do
  options.now_s = function()
    return now_s
  end
  readers[name] = auth_tkt.reader(options)
end

local function unhex(text)
  return (text:gsub("%x%x", function(digits)
    return string.char(tonumber(digits, 16))
  end))
end

for line in io.lines() do
  local name, time, address, header = line:match("^([^\t]*)\t(%d+)\t(%x*)\t(%x*)$")
  now_s = tonumber(time)
  local user, said = readers[name](unhex(header), unhex(address))
  if user then
    io.write("good\t", (user:gsub(".", function(byte)
      return ("%02x"):format(byte:byte())
    end)), "\t", said, "\n")
  else
    io.write("refused\t", said, "\n")
  end
end
