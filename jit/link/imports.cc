#include "jit/link/imports.h"

#include <dlfcn.h>
#include <link.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>

namespace mend::jit {
namespace {

struct Table {
  const ElfW(Rela) * slots = nullptr;
  size_t bytes = 0;
};

// What an object imports.
struct Imports {
  const ElfW(Sym) * symbols = nullptr;
  const char* names = nullptr;
  Table lazy;   // DT_JMPREL
  Table eager;  // DT_RELA
};

Imports ImportsOf(const dl_phdr_info& object) {
  Imports imports;
  const ElfW(Dyn)* entry = nullptr;
  for (unsigned i = 0; i < object.dlpi_phnum; ++i) {
    if (object.dlpi_phdr[i].p_type != PT_DYNAMIC) continue;
    entry = reinterpret_cast<const ElfW(Dyn)*>(object.dlpi_addr + object.dlpi_phdr[i].p_vaddr);
  }
  for (; entry != nullptr && entry->d_tag != DT_NULL; ++entry) {
    const auto value = entry->d_un.d_val;
    if (entry->d_tag == DT_PLTRELSZ) imports.lazy.bytes = value;
    if (entry->d_tag == DT_RELASZ) imports.eager.bytes = value;
    // glibc has made addresses of these; those of the kernel's object it leaves as they are.
    if (value < object.dlpi_addr) continue;
    if (entry->d_tag == DT_SYMTAB) imports.symbols = reinterpret_cast<const ElfW(Sym)*>(value);
    if (entry->d_tag == DT_STRTAB) imports.names = reinterpret_cast<const char*>(value);
    if (entry->d_tag == DT_JMPREL) imports.lazy.slots = reinterpret_cast<const ElfW(Rela)*>(value);
    if (entry->d_tag == DT_RELA) imports.eager.slots = reinterpret_cast<const ElfW(Rela)*>(value);
  }
  return imports;
}

struct Redirection {
  const char* name;
  void* target;
  const void* only;  // in the object that begins there; null: in all
  bool leaves_own;   // not in the object that contains `target`
};

bool Contains(const dl_phdr_info& object, const void* address) {
  const uintptr_t offset = reinterpret_cast<uintptr_t>(address) - object.dlpi_addr;
  for (unsigned i = 0; i < object.dlpi_phnum; ++i) {
    const ElfW(Phdr) & part = object.dlpi_phdr[i];
    if (part.p_type == PT_LOAD && offset - part.p_vaddr < part.p_memsz) return true;
  }
  return false;
}

void Write(uintptr_t slot, void* target) {
  if (*reinterpret_cast<void**>(slot) == target) return;
  const auto page_size = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  void* const page = reinterpret_cast<void*>(slot & ~(page_size - 1));
  // The table may be read-only after relocation. It stays writable: nothing says whether it was.
  if (mprotect(page, page_size, PROT_READ | PROT_WRITE) != 0) return;
  __atomic_store_n(reinterpret_cast<void**>(slot), target, __ATOMIC_RELAXED);
}

void RedirectIn(const Imports& imports, const Table& table, uintptr_t base,
                const Redirection& redirection) {
  if (table.slots == nullptr) return;
  for (size_t i = 0; i < table.bytes / sizeof(ElfW(Rela)); ++i) {
    const ElfW(Rela) & slot = table.slots[i];
    const auto type = ELF64_R_TYPE(slot.r_info);
    // An address in data has an addend; a table's entry has none.
    const bool in_data = type == R_X86_64_64;
    if (type != R_X86_64_JUMP_SLOT && type != R_X86_64_GLOB_DAT && !in_data) continue;
    const char* const name = imports.names + imports.symbols[ELF64_R_SYM(slot.r_info)].st_name;
    if (std::strcmp(name, redirection.name) != 0) continue;
    Write(base + slot.r_offset,
          static_cast<char*>(redirection.target) + (in_data ? slot.r_addend : 0));
  }
}

// dl_iterate_phdr callback.
int RedirectInObject(dl_phdr_info* object, size_t, void* argument) {
  const auto& redirection = *static_cast<const Redirection*>(argument);
  if (redirection.only != nullptr &&
      reinterpret_cast<uintptr_t>(redirection.only) != object->dlpi_addr) {
    return 0;
  }
  const Imports imports = ImportsOf(*object);
  if (imports.symbols == nullptr || imports.names == nullptr) return 0;
  if (redirection.leaves_own && Contains(*object, redirection.target)) return 0;
  RedirectIn(imports, imports.lazy, object->dlpi_addr, redirection);
  RedirectIn(imports, imports.eager, object->dlpi_addr, redirection);
  return 0;
}

}  // namespace

bool ComesLate(const char* name, const void* own) {
  Dl_info here, first;
  const void* const found = dlsym(RTLD_DEFAULT, name);
  if (dladdr(own, &here) == 0) return false;
  return found == nullptr || dladdr(found, &first) == 0 || first.dli_fbase != here.dli_fbase;
}

void RedirectImports(const char* name, void* target) {
  Redirection redirection{name, target, /*only=*/nullptr, /*leaves_own=*/false};
  dl_iterate_phdr(&RedirectInObject, &redirection);
}

void RedirectOtherImports(const char* name, void* target) {
  Redirection redirection{name, target, /*only=*/nullptr, /*leaves_own=*/true};
  dl_iterate_phdr(&RedirectInObject, &redirection);
}

void RedirectImportsOf(const void* own, const char* name, void* target) {
  Dl_info object;
  if (dladdr(own, &object) == 0) return;
  Redirection redirection{name, target, object.dli_fbase, /*leaves_own=*/false};
  dl_iterate_phdr(&RedirectInObject, &redirection);
}

void RedefineExport(const char* name, void* target) {
  Dl_info object, executable;
  void* symbol = nullptr;
  const void* const headers = reinterpret_cast<const void*>(getauxval(AT_PHDR));
  if (dladdr1(dlsym(RTLD_DEFAULT, name), &object, &symbol, RTLD_DL_SYMENT) == 0 ||
      dladdr1(headers, &executable, nullptr, 0) == 0 || symbol == nullptr ||
      object.dli_fbase != executable.dli_fbase || std::strcmp(object.dli_sname, name) != 0) {
    return;
  }
  auto* const value = &static_cast<ElfW(Sym)*>(symbol)->st_value;
  const auto page_size = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const uintptr_t begin = reinterpret_cast<uintptr_t>(value) & ~(page_size - 1);
  const size_t size = reinterpret_cast<uintptr_t>(value + 1) - begin;
  // A file's own page becomes the process's.
  if (mprotect(reinterpret_cast<void*>(begin), size, PROT_READ | PROT_WRITE) != 0) return;
  __atomic_store_n(
      value,
      reinterpret_cast<uintptr_t>(target) - reinterpret_cast<uintptr_t>(executable.dli_fbase),
      __ATOMIC_RELAXED);
  mprotect(reinterpret_cast<void*>(begin), size, PROT_READ);
}

}  // namespace mend::jit
