// HostSymbols: what names mean outside of the hosted program: the embedder's own, what only a
// static part of libc defines natively (atexit and its kin), and whatever the process's libraries
// export.
//
// Thread safety: none needed; the loader calls it.
#ifndef MEND_JIT_LINK_HOST_SYMBOLS_H_
#define MEND_JIT_LINK_HOST_SYMBOLS_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mend::jit {

// This library's function of that name if it stands in front of `found`, which a search past this
// library came to, by a version or the handle of libc; null: there is none.
void* FindInFrontOf(void* found, const char* name);

class HostSymbols {
 public:
  // `overrides` win over the libraries. `dso_handle` is a word within reach of hosted text, whose
  // address is the program's handle: what constructors register for exit is registered under it.
  HostSymbols(std::map<std::string, void*> overrides, void* dso_handle);

  // A library of dlopen, asked after those of the whole process.
  void AddLibrary(void* library) { libraries_.push_back(library); }
  void Override(const std::string& name, void* target) { overrides_[name] = target; }
  const std::map<std::string, void*>& overrides() const { return overrides_; }

  // The address of a function or datum; nullopt when nobody defines it.
  std::optional<uintptr_t> Find(const std::string& name) const;
  // The address of a datum that a library (not this one) exports; nullopt otherwise.
  std::optional<uintptr_t> FindInLibraries(const std::string& name) const;
  // The offset from %fs of a library's thread-local that lies in static TLS; nullopt otherwise.
  std::optional<intptr_t> FindThreadLocal(const std::string& name) const;

 private:
  // dlsym in the process, then in the added libraries.
  void* FindExported(const std::string& name) const;
  // What a reference to that version means (memcpy@GLIBC_2.2.5).
  void* FindVersion(const std::string& name, const std::string& version) const;
  // This library's own function of that name, if it comes before what RTLD_DEFAULT found.
  void* FindOwn(const std::string& name, void* found) const;

  // This library, where it is not in front of libc: it was opened by dlopen. For hosted code its
  // functions stand in front of libc's all the same. Null otherwise.
  void* own_ = nullptr;
  std::map<std::string, void*> overrides_;
  std::vector<void*> libraries_;
};

}  // namespace mend::jit

#endif  // MEND_JIT_LINK_HOST_SYMBOLS_H_
