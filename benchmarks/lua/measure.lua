-- measure.lua SCRIPT: runs the function that the script returns and prints its CPU seconds.
local run = assert(dofile(arg[1]))
run()  -- once to warm up
collectgarbage()
local start = os.clock()
run()
print(("%.6f"):format(os.clock() - start))
