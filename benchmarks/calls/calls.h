// What is called: defined in units of their own, so that no call is inlined.
#ifndef MEND_BENCHMARKS_CALLS_CALLS_H_
#define MEND_BENCHMARKS_CALLS_CALLS_H_

long callee(long x);

// Waits for a byte: a thread in here holds up transitions of this function.
long stand(int descriptor);

class Counter {
 public:
  virtual ~Counter() = default;
  virtual long next(long x);
};
Counter* make_counter();

// Calls this many functions once each, in random order; generated.
constexpr long kManyCallees = 4000;
long call_many(long x);

#endif  // MEND_BENCHMARKS_CALLS_CALLS_H_
