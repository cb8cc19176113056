-- The action "factored" of HAProxy: asks factored about a request before the site sees it.
--
--   http-request lua.factored http://127.0.0.1:8000/auth/forward auth_tkt
--
-- arguments: the endpoint, with a numeric address; the name of the ticket cookie.
-- A yes sets txn.factored_ok, and Remote-User, Factored-User, Factored-Schemes of the request. Any
-- other answer of factored (the redirect, the 401) goes to the client. No answer, or an error in
-- here, leaves the variable unset, and haproxy.cfg denies.

-- HAProxy 2.6 tries four times before it gives up, so the client waits four times as long.
local TIMEOUT_MS = 1000

-- What factored decides by, and nothing else of the client's.
local ASKED_WITH = {"cookie", "accept", "accept-language", "x-requested-with", "sec-fetch-mode"}

-- Names of identity_headers in factored's ini, and what was proven.
local IDENTITY = {"remote-user", "factored-user", "factored-schemes"}

-- Of factored's answers that go to the client.
local SHOWN = {"content-type", "content-security-policy", "cache-control", "retry-after",
  "referrer-policy", "strict-transport-security", "vary", "x-content-type-options",
  "x-frame-options", "set-cookie"}

-- table of headers, name -> list of values. HAProxy counts from 0.
local function values_of(headers, name)
  local values = {}
  for index, value in pairs(headers[name] or {}) do
    values[index + 1] = value
  end
  return values
end

-- Cookie header, name -> the header without that cookie, or nil if nothing is left
local function without_cookie(header, name)
  local kept = {}
  for pair in header:gmatch("[^;,]+") do
    local found, rest = pair:match("^%s*([^%s=]*)%s*(.?)")
    if found ~= name or (rest ~= "" and rest ~= "=") then
      kept[#kept + 1] = pair:match("^%s*(.*)$")
    end
  end
  return #kept > 0 and table.concat(kept, "; ") or nil
end

local function asked(txn, endpoint)
  local came = txn.http:req_get_headers()
  local hosts = values_of(came, "host")
  local target = txn.sf:pathq()
  if #hosts ~= 1 or target:sub(1, 1) ~= "/" then
    return nil
  end
  local headers = {
    ["host"] = hosts,
    ["x-original-url"] = {"https://" .. hosts[1] .. target},
    ["x-original-method"] = {txn.sf:method()},
    ["x-forwarded-for"] = {txn.sf:src()},
    ["x-forwarded-proto"] = {"https"},
    ["x-forwarded-host"] = hosts,
  }
  for _, name in ipairs(ASKED_WITH) do
    local values = values_of(came, name)
    if #values > 0 then
      headers[name] = values
    end
  end
  return core.httpclient():get{url = endpoint, headers = headers, timeout = TIMEOUT_MS}
end

-- Whether it came to its end: HAProxy hands over what it has of an answer that broke off.
local function whole(answer)
  local length = values_of(answer.headers, "content-length")
  return #length == 1 and tonumber(length[1]) == #(answer.body or "")
end

local function let_in(txn, answer, cookie_name)
  local identity = {}
  for _, name in ipairs(IDENTITY) do
    local values = values_of(answer.headers, name)
    if #values > 1 then
      error("factored named " .. name .. " twice")
    end
    identity[name] = values[1]
  end
  for name, value in pairs(identity) do
    txn.http:req_set_header(name, value)
  end
  local cookies = values_of(txn.http:req_get_headers(), "cookie")
  if #cookies > 0 then
    local rest = without_cookie(table.concat(cookies, "; "), cookie_name)
    txn.http:req_del_header("cookie")
    if rest then
      txn.http:req_set_header("cookie", rest)
    end
  end
  txn:set_priv(values_of(answer.headers, "set-cookie"))
  txn:set_var("txn.factored_ok", true)
end

local function show(txn, answer)
  local reply = txn:reply{status = answer.status}
  for _, name in ipairs(SHOWN) do
    for _, value in ipairs(values_of(answer.headers, name)) do
      reply:add_header(name, value)
    end
  end
  -- With a 401 it would only say where the login is.
  if answer.status < 400 then
    reply:add_header("location", values_of(answer.headers, "location")[1])
  end
  reply:set_body(answer.body or "")
  txn:done(reply)
end

core.register_action("factored", {"http-req"}, function(txn, endpoint, cookie_name)
  local answer = asked(txn, endpoint)
  if not answer or not answer.status or not whole(answer) then
    return
  elseif answer.status == 200 then
    let_in(txn, answer, cookie_name)
  elseif answer.status >= 300 then
    show(txn, answer)
  end
end, 2)

-- After the site's answer: the cookie of a renewed ticket, which no shared cache may keep.
core.register_action("factored_cookies", {"http-res"}, function(txn)
  local lines = txn:get_priv() or {}
  for _, line in ipairs(lines) do
    txn.http:res_add_header("set-cookie", line)
  end
  if #lines > 0 then
    txn.http:res_set_header("cache-control", "no-store")
  end
end)
