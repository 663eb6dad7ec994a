-- Closures, coroutines, errors, goto, metatables, garbage collection.
local function counter() local n = 0 return function() n = n + 1 return n end end
local a, b = counter(), counter()
print(a(), a(), b(), a())
local producer = coroutine.wrap(function() for i = 1, 3 do local got = coroutine.yield(i, i * i) if got then print("got", got) end end return "done" end)
print(producer()) print(producer("one")) print(producer("two")) print(producer())
local dead = coroutine.create(function() error({code = 7}) end)
local ok, problem = coroutine.resume(dead)
print(ok, problem.code, coroutine.status(dead), coroutine.resume(dead))
print(select(2, pcall(error, "message", 0)), pcall(error), select("#", pcall(error)))
print(xpcall(function() local nothing; return nothing.field end, function(m) return (m:gsub("^.-:%d+: ", "")) end))
local function depth(n) return n == 0 and 0 or 1 + depth(n - 1) end
print(depth(10000), pcall(function() local function endless() return 1 + endless() end return endless() end) == false)
for i = 1, 3 do for j = 1, 3 do if j == 2 then goto continue end io.write(i, j, " ") ::continue:: end end
print()
local vector = {}
vector.__index = vector
vector.__add = function(x, y) return setmetatable({x[1] + y[1]}, vector) end
vector.__eq = function(x, y) return x[1] == y[1] end
vector.__lt = function(x, y) return x[1] < y[1] end
vector.__le = function(x, y) return x[1] <= y[1] end
vector.__tostring = function(x) return "v" .. x[1] end
vector.__call = function(x, y) return x[1] * y end
vector.__len = function() return 42 end
vector.__concat = function(x, y) return tostring(x) .. "~" .. tostring(y) end
vector.__close = function(x) print("closed", x) end
local v, w = setmetatable({1}, vector), setmetatable({2}, vector)
print(tostring(v + w), v == w, v < w, v <= w, v(5), #v, v .. w, rawlen(v))
do local first <close> = v local second <close> = w print("inside") end
print(pcall(function() local held <close> = v error("left", 0) end))
local weak = setmetatable({}, {__mode = "k"})
weak[{}] = 1
collectgarbage() collectgarbage()
print(next(weak), collectgarbage("count") > 0)
local finalised = 0
for _ = 1, 100 do setmetatable({}, {__gc = function() finalised = finalised + 1 end}) end
collectgarbage() collectgarbage()
print(finalised)
collectgarbage("generational") for _ = 1, 1000 do local _ = {{}, {}} end collectgarbage("incremental")
print(load("return 1 + 1")(), load("syntax error here"), select(2, load("x =")))
local environment = {print = print}
load("y = 5 print(y)", "chunk", "t", environment)()
print(environment.y, y)
