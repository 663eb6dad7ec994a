-- Tables, sorting, iteration, integer and float keys.
local t = {5, 2, 8, 1, 9, 3}
table.sort(t) print(table.concat(t, ","))
table.sort(t, function(x, y) return x > y end) print(table.concat(t, ","))
table.insert(t, 4) table.insert(t, 1, 0) print(table.concat(t, ","), table.remove(t), table.remove(t, 1), #t)
print(table.unpack(table.move({1, 2, 3}, 1, 3, 2)))
print(select("#", table.unpack({1, nil, 3}, 1, 3)), table.pack(1, nil, 3).n)
local keys = {}
for key in pairs({x = 1, y = 2, [1] = 3, [2.0] = 4, [true] = 5}) do keys[#keys + 1] = tostring(key) end
table.sort(keys) print(table.concat(keys, " "))
local large = {}
for i = 1, 20000 do large[i] = (i * 7919) % 20011 end
table.sort(large)
local sum = 0
for i, value in ipairs(large) do sum = (sum * 31 + i * value) % 1000000007 end
print(sum)
print(pcall(table.sort, {3, "x", 1}), pcall(next, {}, "nokey"))
local record = {}
for i = 1, 1000 do record["k" .. i] = i end
for i = 1, 1000, 2 do record["k" .. i] = nil end
local left = 0
for _ in pairs(record) do left = left + 1 end
print(left, rawequal(record, record), rawget(record, "k2"), #"abc")
local matrix = {}
for i = 1, 20 do matrix[i] = {} for j = 1, 20 do matrix[i][j] = i == j and 2 or 1 / (i + j) end end
for i = 1, 20 do for j = i + 1, 20 do local f = matrix[j][i] / matrix[i][i] for k = i, 20 do matrix[j][k] = matrix[j][k] - f * matrix[i][k] end end end
local determinant = 1.0
for i = 1, 20 do determinant = determinant * matrix[i][i] end
print(("%.10g"):format(determinant))
