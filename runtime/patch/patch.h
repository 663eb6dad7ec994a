// The livepatch data model (rules 1.1): a Patch has objects, an object has functions. What the
// loader fills in, the core never changes; what the core keeps is marked.
#ifndef MEND_RUNTIME_PATCH_PATCH_H_
#define MEND_RUNTIME_PATCH_PATCH_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/base/code_address.h"
#include "runtime/format/patch_module.h"
#include "runtime/patch/livepatch_abi.h"
#include "runtime/patch/module_parameters.h"

namespace mend {

// The place of a function of the running program, as the loader knows it.
struct FunctionSite {
  std::string object;  // empty: the program itself
  std::string unit;    // unit that defines it
  std::string name;    // symbol name
  // Position among symbols of that name in the object, in link order; 0 (explicit patches): there
  // is only one. It stays as the patch says.
  unsigned sympos = 1;
  CodeAddress entry;          // the redirection stub
  uint64_t size = 0;          // bytes from the entry to the end of the original body
  uintptr_t* slot = nullptr;  // holds entry + kEntryStubSize until the function is patched
};

// One function that a patch replaces. While its object is not loaded (or not resolved yet) `old`
// has its object, name and sympos only, and no entry.
//
//   patched  transition   state (rules M4); patching goes down the table, unpatching up
//   false    false        not on its func_stack
//   false    true         marked, not reachable yet (or any more)
//   true     true         some threads may run it
//   true     false        all threads run it
struct PatchFunction {
  // Filled by the loader.
  FunctionSite old;
  CodeAddress new_body;  // what the slot is to hold; null for a nop (back to the original)
  CodeRange new_text;    // for the stack check
  // Both are there only as long as the function's object is: ResolveObject fills them in.
  bool links_late = false;
  // `old` is what an earlier patch has added, and no symbol of the object: the loader lists it when
  // the object is there, and it goes with the object.
  bool is_added = false;
  ChangeReason reason = ChangeReason::kChanged;
  std::string detail;

  // Kept by the core.
  bool nop = false;
  bool patched = false;
  bool transition = false;
};

// The author's callbacks for one object (rules 1.4): hosted code, each may be null.
struct ObjectCallbacks {
  int (*pre_patch)(mend_object*) = nullptr;
  void (*post_patch)(mend_object*) = nullptr;
  void (*pre_unpatch)(mend_object*) = nullptr;
  void (*post_unpatch)(mend_object*) = nullptr;
};

struct PatchObject {
  // Filled by the loader.
  std::string name;                     // empty: the program itself
  std::deque<PatchFunction> functions;  // func_stacks point to them: they stay when some are added
  ObjectCallbacks callbacks;
  // Text that ResolveObject linked besides `new_text`: of functions that the patch adds.
  std::vector<CodeRange> added_text;
  // Functions that what ResolveObject linked marks MEND_UNIT: held as long as the object is there.
  std::vector<FunctionSite> held;

  // Kept by the core.
  mend_object* loaded = nullptr;  // null: not loaded (I1, CB2)
  bool dynamic = false;  // made by the core, to hold nops; other objects have theirs at the end
  bool patched = false;
  bool post_unpatch_allowed = false;  // CB4
  bool post_unpatch_ran = false;      // since the patch was last enabled
};

// What comes and goes with a state, whichever patches have it (beyond the rules; after the kernel's
// later "livepatch: Move callbacks to state").
struct StateOwner {
  int (*setup)(mend_state*) = nullptr;     // it appears: before any callback; -errno refuses
  void (*enable)(mend_state*) = nullptr;   // it is there: all threads have switched
  void (*disable)(mend_state*) = nullptr;  // it is to vanish: before any callback
  void (*release)(mend_state*) = nullptr;  // it has vanished, or has not come about after all
  bool owns_shadow = false;                // the shadow variables of its id are freed with it
  mend_shadow_dtor shadow_dtor = nullptr;  // for each of them; may be null

  bool is_declared() const { return setup != nullptr || enable != nullptr || can_vanish(); }
  // Whether the state can vanish because a newer patch does not know it.
  bool can_vanish() const { return disable != nullptr || release != nullptr || owns_shadow; }
};

// A system state that the patch declares (rules M9, 1.11).
struct SystemState {
  unsigned long id = 0;
  unsigned version = 0;
  mend_state* record = nullptr;  // the author's, in the module's data
  StateOwner owner = {};
};

// The text and data of a linked patch module. Destroying it frees the text; the data stays, since
// live objects may point to it.
// REQUIRES of the destructor: no thread can reach the text any more.
class LinkedModule {
 public:
  virtual ~LinkedModule() = default;
  // The patch has been enabled. One that never is leaves the data of earlier ones as it was.
  virtual void Commit() {}
  virtual uint64_t text_bytes() const = 0;
  virtual uint64_t data_bytes() const = 0;
};

struct Patch {
  // Filled by the loader.
  std::string name;
  std::string content_hash;
  bool replace = true;
  // It replaces patches of its set only, and shares no function and no state with those of others.
  std::string replace_set;
  // Records whose layout it changes: all their objects are in frames of functions that it replaces.
  // Code of another patch, compiled with the program's layout, must not meet those.
  std::vector<std::string> changed_layouts;
  std::vector<PatchObject> objects;
  std::vector<SystemState> states;
  ModuleParameters parameters;
  mend_patch* descriptor = nullptr;  // of an explicit patch
  // On no stack when a thread switches, though not replaced: what the patch names, and the
  // program's and its own MEND_UNIT functions. Those of a guest module: PatchObject::held.
  std::vector<FunctionSite> held;
  // Text of functions that the module adds and that replace none: on no stack when it is freed.
  std::vector<CodeRange> added_text;
  std::unique_ptr<LinkedModule> module;  // may be null in tests
  // The file that it came in, to be linked anew when it is enabled again; null: it comes back as it
  // is. `allow_inlined`: see PatchModule.
  std::shared_ptr<const std::string> file;
  bool allow_inlined = false;

  // Kept by the core.
  bool enabled = false;
  bool forced = false;
};

// Turns a patch module into a Patch: links it into the program, with nothing visible yet.
// jit/ implements it. Errors leave nothing behind: INVALID_ARGUMENT and FAILED_PRECONDITION carry a
// refusal (a base that does not match, an undefined symbol), named in the message.
class PatchLoader {
 public:
  virtual ~PatchLoader() = default;
  virtual absl::StatusOr<std::unique_ptr<Patch>> Load(const PatchModule& module) = 0;
  // Fills `old` of every function of the object, nops included, that has no entry, by its name and
  // sympos in that object, links those that link late, and applies the patch's special relocations
  // into it (I5..I7). Called under the core's mutex, when the patch is enabled (for objects that
  // are loaded) and when the object comes; must not call back. Errors leave the object as it was,
  // and have the kernel's wording after the errno (rules 1.14): "EINVAL: symbol 'F' not found in
  // symbol table". A loader whose Load resolves everything has nothing to do.
  virtual absl::Status ResolveObject(Patch*, PatchObject*) { return absl::OkStatus(); }
  // The object goes: takes the relocations back, so that it can come again (I8). The core forgets
  // the entries and the text right after. Threads may be in text that was linked for the object:
  // it stays until the object itself is freed, which the core allows when no thread is in it.
  virtual void ForgetObject(Patch*, PatchObject*) {}
  // The function a name from a request means: `[OBJECT:]FUNCTION[,POSITION]`, a symbol name or a
  // demangled C++ name. NOT_FOUND; FAILED_PRECONDITION with the candidates when ambiguous.
  virtual absl::StatusOr<FunctionSite> FindFunction(const std::string& name) const = 0;
  // The functions of a guest module that every patch holds (MEND_UNIT). The module is linked.
  virtual std::vector<FunctionSite> UnitFunctions(const std::string&) const { return {}; }
  // For messages: the function whose text (any version) contains `pc`, demangled; "" if unknown.
  virtual std::string Describe(CodeAddress pc) const = 0;
};

}  // namespace mend

#endif  // MEND_RUNTIME_PATCH_PATCH_H_
