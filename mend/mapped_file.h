// Reading ELF files without copying them.
#ifndef MEND_MEND_MAPPED_FILE_H_
#define MEND_MEND_MAPPED_FILE_H_

#include <string>
#include <string_view>
#include <vector>

namespace mend {

// A file, mapped; empty when there is none.
class MappedFile {
 public:
  explicit MappedFile(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  std::string_view contents() const { return contents_; }

 private:
  std::string_view contents_;
};

// What a section of names (program_image.h) of this process's executable says; none without one.
std::vector<std::string> NamesInExecutable(std::string_view section);

}  // namespace mend

#endif  // MEND_MEND_MAPPED_FILE_H_
