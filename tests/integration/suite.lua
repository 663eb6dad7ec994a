-- What an interpreter does, a result a line: for tests that patch it on the way.
local function line(name, ...) print(name, ...) end

local function fibonacci(n) if n < 2 then return n end return fibonacci(n - 1) + fibonacci(n - 2) end
line("recursion", fibonacci(15))

local sorted = {}
for i = 1, 200 do sorted[i] = (i * 7919) % 1009 end
table.sort(sorted, function(a, b) return a > b end)
line("sort", sorted[1], sorted[100], sorted[200])

local words = {}
for word in ("the quick brown fox jumps over the lazy dog"):gmatch("%a+") do words[#words + 1] = word:upper() end
line("gmatch", table.concat(words, ","))
line("gsub", ("a=1, b=2"):gsub("(%w)=(%w)", "%2=%1"))
line("format", ("%5.2f|%-6s|%x"):format(3.14159, "ab", 255))

local generator = coroutine.wrap(function() for i = 1, 50 do coroutine.yield(i * i) end end)
local sum = 0
for _ = 1, 50 do sum = sum + generator() end
line("coroutines", sum)

local Account = {}
Account.__index = Account
Account.__add = function(a, b) return setmetatable({ balance = a.balance + b.balance }, Account) end
function Account:deposit(n) self.balance = self.balance + n return self end
line("metatables", (setmetatable({ balance = 3 }, Account):deposit(4) + setmetatable({ balance = 5 }, Account)).balance)

line("errors", (select(2, pcall(function() error({ code = 7 }) end))).code)
line("errors", select(2, pcall(error, "text", 0)))
line("assert", pcall(assert, false, "asserted"))
line("load", load("local x <const> = 20; return x * 2 + 2")())
line("syntax", load("return +"))
line("goto", (function() local i = 0 ::again:: i = i + 1 if i < 10 then goto again end return i end)())

local weak = setmetatable({}, { __mode = "k" })
for i = 1, 100 do weak[{}] = i end
collectgarbage()
line("collector", next(weak) == nil)

for round = 1, 20 do
  local text = load("local a, b = " .. round .. ", 2; return function(c) return a * b + c end")()
  line("closure", round, text(round))
end
local big = {}
for i = 1, 20000 do big[i] = tostring(i) end
line("strings", #table.concat(big))
line("utf8", utf8.len("äöü"), utf8.char(8364))
line("integer", 7 // 2, 7 % -3, 1 << 40, math.tointeger(3.0), 2^53)
