-- The check of factored's ticket for web servers that run LuaJIT, without a call to factored.
--
-- It takes what factored's gate takes (factored/auth_tkt.py, factored/gate.py) and nothing else,
-- but it does not see revocation: after a logout, or the removal of a user, a copy of the ticket
-- is good here until it expires. max_age limits that.
--
-- It trusts the ticket secrets, the clock of this machine, and OpenSSL's libcrypto.
-- Keys of factored's ini that it must agree with: auth_tkt.secret_file, auth_tkt.cookie_name,
-- auth_tkt.hashalg, auth_tkt.include_ip, auth_absolute_timeout, supported_auth_schemes.
--
--   local check = require("auth_tkt").reader({ secret_file = "/etc/factored/factored.secret" })
--   local user, scheme_or_reason = check(cookie_header, client_address)

local bit = require("bit")
local ffi = require("ffi")

local auth_tkt = {}

-- How far a ticket's time may be ahead of this machine's clock, in seconds.
local FUTURE_S = 60
-- A longer Cookie header is refused before anybody looks into it.
local MAX_HEADER_BYTES = 8192
-- Ticket cookies, junk of that length too, that one request has verified at most.
local MAX_CANDIDATES = 3
-- Of Cookie headers whose tickets a reader remembers as verified; emptied when full.
local MEMORY_BYTES = 2 * 1024 * 1024
local MIN_SECRET_LENGTH = 32
local MIN_SECRET_VARIETY = 8

local NO_ADDRESS = "0.0.0.0"
local ID = ("[A-Za-z0-9_-]"):rep(22)
local PARTS = "^([\34-\126]+)!([^!]+)!(([0-9a-f]+)%.([rs])([0-9a-f]+)%." .. ID .. "%." .. ID .. ")$"
-- What stands as itself in the user name: the unreserved ones, and what mod_auth_tkt needs so.
local QUOTED = "[^A-Za-z0-9_.~@+/:=$&*(){}|^`<>?#'-]"

ffi.cdef([[
unsigned char *SHA256(const unsigned char *data, size_t length, unsigned char *digest);
unsigned char *SHA512(const unsigned char *data, size_t length, unsigned char *digest);
int CRYPTO_memcmp(const void *one, const void *other, size_t length);
]])

local function load_libcrypto()
  for _, name in ipairs({ "libcrypto.so.3", "libcrypto.so.1.1", "crypto" }) do
    local found, library = pcall(ffi.load, name)
    if found then
      return library
    end
  end
  error("auth_tkt: OpenSSL's libcrypto is not there")
end

local libcrypto = load_libcrypto()

local HASHES = {
  sha256 = { size = 32, call = libcrypto.SHA256 },
  sha512 = { size = 64, call = libcrypto.SHA512 },
}

local HEX_DIGITS = "0123456789abcdef"

-- hash, bytes -> its digest in lower-case hex
local function hexdigest(hash, bytes)
  local made = ffi.new("unsigned char[?]", hash.size)
  if hash.call(bytes, #bytes, made) == nil then
    error("libcrypto made no digest")
  end
  local hex = ffi.new("unsigned char[?]", hash.size * 2)
  for place = 0, hash.size - 1 do
    hex[place * 2] = HEX_DIGITS:byte(bit.rshift(made[place], 4) + 1)
    hex[place * 2 + 1] = HEX_DIGITS:byte(bit.band(made[place], 15) + 1)
  end
  return ffi.string(hex, hash.size * 2)
end

-- two texts -> whether they are the same, in a time that says nothing of where they differ
local function same(one, other)
  return #one == #other and libcrypto.CRYPTO_memcmp(one, other, #one) == 0
end

local function big_endian(number)
  return string.char(
    bit.band(bit.rshift(number, 24), 255),
    bit.band(bit.rshift(number, 16), 255),
    bit.band(bit.rshift(number, 8), 255),
    bit.band(number, 255)
  )
end

-- text -> its four numbers, or nil: not an IPv4 address in dots
local function ipv4(address)
  local numbers = { address:match("^(%d%d?%d?)%.(%d%d?%d?)%.(%d%d?%d?)%.(%d%d?%d?)$") }
  for place, digits in ipairs(numbers) do
    -- 01 is a number there and 001 is none: so has it factored, after Pyramid.
    if digits:find("^0%d%d") or tonumber(digits) > 255 then
      return nil
    end
    numbers[place] = tonumber(digits)
  end
  return #numbers == 4 and numbers or nil
end

-- address of the peer -> what its tickets are bound to, as factored and Pyramid have it
local function bound_address(address)
  if ipv4(address) or (address:find(":", 1, true) and not address:find("[\128-\255]")) then
    return address
  end
  return NO_ADDRESS
end

-- the ticket's parts -> its digest. Source: mod_auth_tkt, README "Cookie Format"; for IPv6
-- Pyramid's form, address and time as text.
local function digest(hash, address, time, secret, user, scheme, data)
  local place
  if address:find(":", 1, true) then
    place = address .. ("%.0f"):format(time)
  else
    place = string.char(unpack(ipv4(address))) .. big_endian(time)
  end
  local inner = hexdigest(hash, place .. secret .. user .. "\0" .. scheme .. "\0" .. data)
  return hexdigest(hash, inner .. secret)
end

-- bytes -> whether they are UTF-8 as RFC 3629 has it: nothing overlong, no surrogates
local function is_utf8(bytes)
  local place, length = 1, #bytes
  while place <= length do
    local first, second = bytes:byte(place, place + 1)
    local more, low, high = 0, 0x80, 0xBF
    if first >= 0x80 then
      if first < 0xC2 or first > 0xF4 then
        return false
      end
      more = first < 0xE0 and 1 or first < 0xF0 and 2 or 3
      low = first == 0xE0 and 0xA0 or first == 0xF0 and 0x90 or low
      high = first == 0xED and 0x9F or first == 0xF4 and 0x8F or high
      if not second or second < low or second > high then
        return false
      end
      for further = place + 2, place + more do
        local byte = bytes:byte(further)
        if not byte or byte < 0x80 or byte > 0xBF then
          return false
        end
      end
    end
    place = place + more + 1
  end
  return true
end

-- quoted user name -> the name, or nil: this is not its one spelling
local function unquoted(quoted)
  local name = quoted:gsub("%%(%x%x)", function(digits)
    return string.char(tonumber(digits, 16))
  end)
  local again = name:gsub(QUOTED, function(byte)
    return ("%%%02X"):format(byte:byte())
  end)
  if again ~= quoted or name:find("\0", 1, true) or not is_utf8(name) then
    return nil
  end
  return name
end

-- hex digits -> number, or nil: more than eight of them, or not their one spelling
local function number_of(digits)
  if #digits > 8 or (#digits > 1 and digits:sub(1, 1) == "0") then
    return nil
  end
  return tonumber(digits, 16)
end

-- cookie value -> the ticket's facts, or nil and the reason; says nothing about its age
local function parse(value, address, options)
  local digits = options.hash.size * 2
  local given, time = value:sub(1, digits), value:sub(digits + 1, digits + 8)
  local quoted, scheme, data, login, flag, lifetime = value:sub(digits + 9):match(PARTS)
  if given:find("[^0-9a-f]") or #time ~= 8 or time:find("[^0-9a-f]") or not quoted or not flag then
    return nil, "not a ticket"
  end
  local user = unquoted(quoted)
  local issued_at, login_at = tonumber(time, 16), number_of(login)
  local lifetime_s = number_of(lifetime)
  if not user or not login_at or not lifetime_s then
    return nil, "not a ticket"
  end
  if not options.schemes[scheme] then
    return nil, "of a scheme that is not supported"
  end
  local good = false
  for _, secret in ipairs(options.secrets) do
    local made = digest(options.hash, address, issued_at, secret, user, scheme, data)
    good = same(given, made) or good
  end
  if not good then
    return nil, "signed by somebody else"
  end
  return {
    user = user, scheme = scheme, issued_at = issued_at, login_at = login_at,
    lifetime_s = lifetime_s,
  }
end

-- ticket -> nil, or the reason why it is not good at this moment
local function out_of_time(ticket, now_s, options)
  if ticket.login_at > ticket.issued_at or ticket.issued_at > now_s + FUTURE_S then
    return "from the future"
  end
  if now_s >= ticket.issued_at + ticket.lifetime_s then
    return "expired"
  end
  if now_s >= ticket.login_at + options.absolute_timeout then
    return "past the absolute timeout"
  end
  if options.max_age and now_s >= ticket.issued_at + options.max_age then
    return "older than this web server takes"
  end
  return nil
end

-- text -> it without blanks at its ends. A pattern for both ends at once looks at a run of blanks
-- in the middle once for each of them: 0.1 s for a header full of them.
local function trimmed(text)
  local first = text:find("[^ \t]")
  return first and text:match("^.*[^ \t]", first) or ""
end

-- Cookie header -> the values long enough to be tickets, as they were sent
local function candidates(header, options)
  local prefix, shortest, found = options.cookie_name .. "=", options.hash.size * 2, {}
  for pair in header:gmatch("[^;]+") do
    local value = trimmed(pair)
    if value:sub(1, #prefix) == prefix and #value - #prefix > shortest then
      found[#found + 1] = value:sub(#prefix + 1)
      if #found == MAX_CANDIDATES then
        break
      end
    end
  end
  return found
end

-- Cookie header, what its tickets are bound to -> our tickets in it, and why another one is none
local function verified(header, bound, options)
  local tickets, reason = {}, nil
  for _, value in ipairs(candidates(header, options)) do
    local ticket, why = parse(value, bound, options)
    tickets[#tickets + 1] = ticket
    reason = why or reason
  end
  return tickets, reason
end

-- The same, of memory if the header had a good ticket before. Nothing unverified is remembered, so
-- strangers put nothing in; age is not remembered at all.
local function recalled(header, bound, options, memory)
  local known = memory.headers[header]
  if known and known.bound == bound then
    return known.tickets
  end
  local tickets, reason = verified(header, bound, options)
  if tickets[1] then
    if memory.bytes > MEMORY_BYTES then
      memory.headers, memory.bytes = {}, 0
    end
    memory.headers[header] = { bound = bound, tickets = tickets }
    memory.bytes = memory.bytes + #header
  end
  return tickets, reason
end

-- The whole check; may throw, which the caller turns into a refusal.
local function decide(header, address, options, memory)
  if header == nil then
    return nil, "no cookie"
  end
  if type(header) ~= "string" then
    error("the Cookie header is no text")
  end
  if #header > MAX_HEADER_BYTES then
    return nil, "the Cookie header is too long"
  end
  local bound = NO_ADDRESS
  if options.include_ip then
    bound = bound_address(address)
  end
  local now_s = options.now_s()
  if type(now_s) ~= "number" or now_s ~= now_s then
    error("the clock gives no time")
  end
  local tickets, reason = recalled(header, bound, options, memory)
  local best
  for _, ticket in ipairs(tickets) do
    local why = out_of_time(ticket, now_s, options)
    if why then
      reason = why
    elseif best and best.user ~= ticket.user then
      return nil, "tickets of different users"
    elseif not best or ticket.issued_at > best.issued_at then
      best = ticket
    end
  end
  if best then
    return best.user, best.scheme
  end
  return nil, reason or "no ticket"
end

-- -- options --------------------------------------------------------------------------------------

-- text of a secret file -> the secrets in it, one a line; blank lines and comments (#) are none
local function as_secrets(text)
  local secrets = {}
  for line in text:gmatch("[^\r\n]+") do
    local secret = line:match("^%s*(.-)%s*$")
    if secret ~= "" and secret:sub(1, 1) ~= "#" then
      local different, variety = {}, 0
      for char in secret:gmatch(".") do
        variety = different[char] and variety or variety + 1
        different[char] = true
      end
      if #secret < MIN_SECRET_LENGTH or variety < MIN_SECRET_VARIETY then
        error("a ticket secret is too short, or repeats itself", 0)
      end
      secrets[#secrets + 1] = secret
    end
  end
  if #secrets == 0 then
    error("there is no ticket secret", 0)
  end
  return secrets
end

local function read_file(path)
  local file, problem = io.open(path, "rb")
  if not file then
    error("secret_file: " .. problem, 0)
  end
  local text = file:read("*a")
  file:close()
  return text or error("secret_file: cannot be read", 0)
end

local function whole_seconds(name, value)
  if type(value) ~= "number" or value % 1 ~= 0 or value < 1 or value > 4294967295 then
    error(name .. " must be a whole number of seconds", 0)
  end
  return value
end

local function is_text(name, value)
  if type(value) ~= "string" or value == "" then
    error(name .. " must be a text", 0)
  end
  return value
end

-- option -> function: what was given, or nil -> its value, or an error
local OPTIONS = {
  -- What auth_tkt.secret_file names. Read here and never again: reload the web server after a
  -- change. So only who starts it must be able to read the file.
  secret_file = function(value)
    return is_text("secret_file", value)
  end,
  cookie_name = function(value)
    local name = is_text("cookie_name", value == nil and "auth_tkt" or value)
    if name:find("[^A-Za-z0-9!#$%%&'*+.^_`|~-]") then
      error("cookie_name must be a cookie name", 0)
    end
    return name
  end,
  hashalg = function(value)
    local name = value == nil and "sha512" or value
    return HASHES[name] and name or error("hashalg must be sha512 or sha256", 0)
  end,
  -- Paths of the schemes that let in; rc are recovery codes, which are a scheme as well.
  schemes = function(value)
    value = value == nil and { "ga", "rc" } or value
    if type(value) ~= "table" or #value == 0 then
      error("schemes must be a list of paths of schemes, like { \"ga\", \"rc\" }", 0)
    end
    local known = {}
    for key, path in pairs(value) do
      if type(key) ~= "number" or type(path) ~= "string" or not path:find("^[A-Za-z0-9_.~-]+$") then
        error("schemes must be a list of paths of schemes, like { \"ga\", \"rc\" }", 0)
      end
      known[path] = true
    end
    return known
  end,
  include_ip = function(value)
    if value ~= nil and type(value) ~= "boolean" then
      error("include_ip must be true or false", 0)
    end
    return value or false
  end,
  -- Seconds after the login when a ticket ends, however often it was renewed.
  absolute_timeout = function(value)
    return whole_seconds("absolute_timeout", value == nil and 86400 or value)
  end,
  -- Seconds after its making when a ticket ends here; nil: when it says so itself.
  max_age = function(value)
    return value ~= nil and whole_seconds("max_age", value) or nil
  end,
  -- Unix time; for tests.
  now_s = function(value)
    if value ~= nil and type(value) ~= "function" then
      error("now_s must be a function", 0)
    end
    return value or os.time
  end,
}

-- options -> function: Cookie header or nil, address of the peer -> user and scheme, or nil and
-- the reason of the refusal, for a log. That function never throws: what goes wrong is a refusal.
-- This one throws, with what is wrong, so that a bad configuration does not start.
function auth_tkt.reader(given)
  if type(given) ~= "table" then
    error("auth_tkt: options must be a table", 2)
  end
  for name in pairs(given) do
    if not OPTIONS[name] then
      error("auth_tkt: there is no option " .. tostring(name), 2)
    end
  end
  local options = {}
  local fine, problem = pcall(function()
    for name, convert in pairs(OPTIONS) do
      options[name] = convert(given[name])
    end
    options.hash = HASHES[options.hashalg]
    options.secrets = as_secrets(read_file(options.secret_file))
  end)
  if not fine then
    error("auth_tkt: " .. tostring(problem), 2)
  end
  -- Of this reader alone: what is verified depends on its secrets and its other options.
  local memory = { headers = {}, bytes = 0 }
  return function(header, address)
    local went_well, user, said = pcall(decide, header, address, options, memory)
    if not went_well then
      return nil, "an error in the check: " .. tostring(user)
    end
    if type(user) ~= "string" or type(said) ~= "string" then
      return nil, tostring(said)
    end
    return user, said
  end
end

return auth_tkt
