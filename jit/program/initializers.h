// Initializers: the constructors and destructors of the hosted program, in the order in which a
// native process runs them.
//
// The loader adds each object's arrays; Run is called once per load, on the thread that starts the
// program. Destructors run at exit, after everything that hosted code registered with atexit.
#ifndef MEND_JIT_PROGRAM_INITIALIZERS_H_
#define MEND_JIT_PROGRAM_INITIALIZERS_H_

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace mend::jit {

// Whether a section's name is one of .preinit_array, .init_array[.N], .ctors[.N], .fini_array[.N],
// .dtors[.N].
bool IsInitializerSection(std::string_view name);

class Initializers {
 public:
  // Adds an array of function addresses that lies in hosted memory. `unit` is the object's
  // position in link order; arrays of one object are added in the order they stand in it.
  void Add(std::string_view section, uint32_t unit, uintptr_t begin, size_t count);
  // A resolver whose result is to be stored before any constructor runs (ifunc).
  void AddResolver(uintptr_t resolver, uintptr_t* slot) { resolvers_.push_back({resolver, slot}); }

  // Registers the destructors added so far with the process's exit, then runs the resolvers and
  // constructors added since the last Run.
  void Run(int argc, char** argv, char** envp);
  // The same for a guest module, but that its destructors are kept for RunDestructors: `end` is
  // what is registered.
  struct End {
    void (*function)(void*) = nullptr;
    void* argument = nullptr;
    void* dso_handle = nullptr;
  };
  void RunModule(int argc, char** argv, char** envp, const End& end);
  // Each of them once: all that are left, or those that run first.
  void RunDestructors();
  void RunDestructorsWithoutPriority();

  // Forgets what was added since the last Run: its load failed.
  void Discard();

 private:
  enum class Phase : uint8_t { kPreinit, kInit, kFini };
  struct Array {
    Phase phase = Phase::kInit;
    uint32_t priority = 0;
    uint32_t unit = 0;
    bool backwards = false;  // .ctors and .dtors
    uintptr_t begin = 0;
    size_t count = 0;
  };
  struct Resolver {
    uintptr_t function = 0;
    uintptr_t* slot = nullptr;
  };

  using Functions = std::vector<uintptr_t>;

  void RunResolvers();
  // Of what was added, each in its order.
  struct Taken {
    Functions constructors;
    Functions destructors;
    size_t without_priority = 0;  // so many of the destructors, which come first
  };
  Taken TakeFunctions();

  std::vector<Array> arrays_;
  std::vector<Resolver> resolvers_;
  // A guest module's that have not run.
  Functions destructors_;
  size_t without_priority_ = 0;
};

}  // namespace mend::jit

#endif  // MEND_JIT_PROGRAM_INITIALIZERS_H_
