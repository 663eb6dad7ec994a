local text = ("the quick brown fox jumps over the lazy dog "):rep(200)
return function()
  local n = 0
  for _ = 1, 250 do
    text:gsub("%a+", function(word) n = n + #word return word:upper() end)
  end
  return n
end
