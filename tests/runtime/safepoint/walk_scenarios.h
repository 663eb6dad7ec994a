// Code with every kind of frame that a stack walk meets, compiled natively. Each scenario returns
// a number that depends on all of its work, so that nothing is optimised away.
#ifndef MEND_TESTS_RUNTIME_SAFEPOINT_WALK_SCENARIOS_H_
#define MEND_TESTS_RUNTIME_SAFEPOINT_WALK_SCENARIOS_H_

namespace mend::scenarios {

int Leaf();
int Alloca();
int OverAligned();
int Varargs();
int TailCall();
int ShrinkWrapped();
int Recursion();
int ManyArguments();
int QsortCallback();
int PthreadOnce();
int StdFunction();
int Vdso();
int LazyBinding();
int Allocation();
int Exceptions();
int Longjmp();

}  // namespace mend::scenarios

#endif  // MEND_TESTS_RUNTIME_SAFEPOINT_WALK_SCENARIOS_H_
