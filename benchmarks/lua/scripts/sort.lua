return function()
  local seed, values = 42, {}
  for i = 1, 120000 do
    seed = (seed * 1103515245 + 12345) % 2147483648
    values[i] = seed
  end
  table.sort(values, function(a, b) return a < b end)
  return values[1]
end
