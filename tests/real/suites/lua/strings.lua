-- The string library: patterns, formats, packing.
local function show(...) print(table.unpack((function(...) local t = table.pack(...) for i = 1, t.n do t[i] = tostring(t[i]) end return t end)(...))) end
show(("hello world"):find("o w"), ("hello"):find("l+"), ("a.b"):find(".", 2, true))
show(("key = value"):match("^(%w+)%s*=%s*(%w+)$"))
show(("f(a(b)c)d"):match("%b()"), ("THE (quick) fox"):find("%((%a+)%)"))
show(("hello world from lua"):gsub("%w+", string.upper, 2))
show(("$name is $age"):gsub("%$(%w+)", {name = "Ada", age = 36}))
show(("abc"):gsub("", "-"), ("  trim "):gsub("^%s*(.-)%s*$", "%1"))
show(("%5.2f|%-8s|%08x|%q|%i|%g|%a"):format(3.14159, "left", 48879, 'a "q"\n', 42, 1e100, 0.5))
show(string.rep("ab", 3, ","), ("abc"):reverse(), ("abc"):byte(1, -1), string.char(72, 105))
for word, number in ("a=1, b=2, c=3"):gmatch("(%w)=(%d)") do io.write(word, number, ";") end
print()
show(string.unpack("<i4z", string.pack("<i4z", -7, "zero")))
show(#string.pack(">i3 s2 d", 1000, "xyz", 1.5), utf8.char(228, 8364, 128512), utf8.len("äöü€"))
for position, code in utf8.codes("aä€") do io.write(position, ":", code, " ") end
print()
show(tostring(1e15), tostring(2^53), tostring(-0.0), 10 // 3, -10 // 3, 10 % -3, 7.5 // 2, 1 << 62, ~0, "10" + 5)
show(math.type(1), math.type(1.0), math.type("1"), math.tointeger(3.0), 0x7fffffffffffffff + 1 == math.mininteger)
show(pcall(string.rep, "x", -1), pcall(string.format, "%d", 1.5))
show(tonumber("0x1p4"), tonumber("  12  "), tonumber("1e"), tonumber("z", 36), tonumber("8", 8))
