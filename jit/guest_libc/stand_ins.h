// StandIns: what the launcher's functions that stand for the program's (runtime/format/stand_ins.h)
// lead to.
//
// Three kinds of callers come by: libraries, for the program; libraries, for mend; and mend itself.
// Only the first are to meet the program's functions, as natively. mend's threads are never sent to
// them, nor is libmend.so, whose own references are put to what lies behind.
//
// Functions that allocate are different in one point: blocks pass between all three. So what is not
// for the program comes from OwnHeap, and every function that takes a block asks first whose it is.
// Hosted code calls these, too.
//
//   who calls                       gives memory      takes it back
//   before the program is ready     OwnHeap           OwnHeap
//   a thread of the program         the program's     whose it is
//   mend, and threads that are not  OwnHeap           OwnHeap, and the program's later, by a thread
//   of registered                                        the program
//
// A program of one thread may have a malloc for one thread: no other ever runs it.
//
// Thread safety: the functions below are for the host, which calls them while the process has one
// thread of the program's; what they set up is thread-safe.
#ifndef MEND_JIT_GUEST_LIBC_STAND_INS_H_
#define MEND_JIT_GUEST_LIBC_STAND_INS_H_

#include <cstddef>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace mend::jit {

// The program's function or variable of that name; null without one.
using ProgramLookup = std::function<void*(const char* name)>;

// What libmend.so itself has to mean by the names that the program replaces, from the beginning on.
std::map<std::string, void*> DefinitionsForMend();

// The functions that take blocks, where the program replaces any: hosted code has to call them by
// these addresses, since it may get blocks that are not its own.
std::map<std::string, void*> TakersOfBlocks();

// The variables of the program that lie in the executable, since libraries refer to them.
struct PlaceInExecutable {
  std::string name;
  void* address;
  size_t size;
};
std::vector<PlaceInExecutable> PlacesInExecutable();

// Functions and variables of the program that libraries refer to, and that they are to have before
// anything of the program runs.
std::vector<std::string> NamesBoundAtStart();

// The program can be called: it is linked, and the calling thread registered.
void ActivateStandIns(const ProgramLookup& lookup);

// Whether the executable has one for the name, so that RTLD_DEFAULT means the program's.
bool HasStandIn(const char* name);

// What the libraries behind the executable define of the name, as RTLD_NEXT means it natively for
// the program; null if nothing, or where the executable is none of patchc's.
void* FindBehindProgram(const char* name);

// malloc, for what the program is to free.
void* AllocateForProgram(size_t size);

}  // namespace mend::jit

#endif  // MEND_JIT_GUEST_LIBC_STAND_INS_H_
