local function counter(step) local n = 0 return function() n = n + step return n end end
return function()
  local sum = 0
  for i = 1, 300000 do
    local count = counter(i % 5)
    count() count()
    sum = sum + count()
  end
  return sum
end
