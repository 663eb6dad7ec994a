// Mutator: damages what mend reads from outside in ways that its frames and checksums do not catch:
// the fields of ELF objects, descriptions and headers that are otherwise right, packed again as
// mend packs them. The same seed damages the same input in the same way.
#ifndef MEND_TESTS_FUZZ_MUTATOR_H_
#define MEND_TESTS_FUZZ_MUTATOR_H_

#include <cstdint>
#include <random>
#include <string>

namespace mend::fuzz {

class Mutator {
 public:
  explicit Mutator(uint64_t seed) : random_(seed) {}

  // The file of a patch module; of a guest module or program (an ELF file around an image); an ELF
  // relocatable. Each is damaged in one to three places.
  std::string PatchModuleFile(const std::string& file);
  std::string ImageFile(const std::string& file, const char* section);
  std::string Object(std::string object);

 private:
  uint64_t Below(uint64_t bound) { return bound == 0 ? 0 : random_() % bound; }
  // A number in place of one: near it, or one that overflows something.
  uint64_t Number(uint64_t old);
  std::string Text(std::string text);
  // Writes another number over `size` bytes.
  void ChangeField(std::string& bytes, uint64_t offset, size_t size);
  void ChangeHeader(std::string& object);
  void ChangeSection(std::string& object);
  void ChangeRow(std::string& object);       // of a symbol table, relocations, a table of addresses
  void ChangeContents(std::string& object);  // of what is read, and not run
  void ChangeDescription(std::string& object);

  std::mt19937_64 random_;
};

}  // namespace mend::fuzz

#endif  // MEND_TESTS_FUZZ_MUTATOR_H_
