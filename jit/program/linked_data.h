// LinkedData: what has been linked, for whoever reads what it says of itself (a patch's descriptor,
// a table of parameters). That is the author's data and an untrusted input: every pointer in it has
// to lie where such a thing can lie.
#ifndef MEND_JIT_PROGRAM_LINKED_DATA_H_
#define MEND_JIT_PROGRAM_LINKED_DATA_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "jit/program/hosted_program.h"
#include "runtime/base/code_address.h"
#include "runtime/patch/module_parameters.h"

namespace mend::jit {

class LinkedData {
 public:
  virtual ~LinkedData() = default;

  // The end of the constants or data that contain `address`; 0 when none do.
  virtual uintptr_t DataEnd(uintptr_t address) const = 0;
  // The same of what may be written.
  virtual uintptr_t WritableEnd(uintptr_t address) const = 0;
  // The text of the function that begins there, its own or anybody else's; empty if none does.
  virtual CodeRange FindText(CodeAddress entry) const = 0;
  // Whether a function of its own that passes a slot begins there.
  virtual bool HasStub(CodeAddress entry) const = 0;

  bool Holds(uintptr_t address, size_t size) const;
  // The variable of a parameter, which outlives the values that it is given only if it goes with
  // them; strings do.
  virtual bool MayHoldParameter(uintptr_t address, size_t size, ParameterKind kind) const;
  // The string at `address`, which has to lie in the data. INVALID_ARGUMENT otherwise.
  absl::StatusOr<std::string> String(uintptr_t address) const;
  // Declares what MEND_PARAM_... declared with the `size` bytes from `table` on. INVALID_ARGUMENT
  // when it is damaged.
  absl::Status AddParameters(uintptr_t table, size_t size, ModuleParameters& parameters) const;
};

// The text of the function of the object, of the program that it belongs to, or of a library of the
// process, that begins there; empty if none does.
CodeRange FindTextFrom(const HostedProgram& object, CodeAddress entry);

}  // namespace mend::jit

#endif  // MEND_JIT_PROGRAM_LINKED_DATA_H_
