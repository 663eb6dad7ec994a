#include "jit/link/archive.h"

#include "absl/strings/str_cat.h"
#include "jit/link/status_conversion.h"
#include "llvm/Object/Archive.h"
#include "llvm/Support/MemoryBufferRef.h"

namespace mend::jit {

absl::StatusOr<std::vector<ArchiveMember>> ReadArchive(const std::string& name,
                                                       std::string_view bytes) {
  llvm::Expected<std::unique_ptr<llvm::object::Archive>> archive =
      llvm::object::Archive::create(llvm::MemoryBufferRef({bytes.data(), bytes.size()}, name));
  if (!archive) return ToStatus(archive.takeError(), name);
  std::vector<ArchiveMember> members;
  llvm::Error error = llvm::Error::success();
  for (const llvm::object::Archive::Child& child : (*archive)->children(error)) {
    llvm::Expected<llvm::StringRef> member_name = child.getName();
    llvm::Expected<llvm::StringRef> member_bytes = child.getBuffer();
    if (!member_name || !member_bytes) {
      llvm::Error both =
          llvm::joinErrors(member_name ? llvm::Error::success() : member_name.takeError(),
                           member_bytes ? llvm::Error::success() : member_bytes.takeError());
      llvm::consumeError(std::move(error));
      return ToStatus(std::move(both), name);
    }
    members.push_back({absl::StrCat(name, "(", member_name->str(), ")"), member_bytes->str()});
  }
  if (error) return ToStatus(std::move(error), name);
  return members;
}

}  // namespace mend::jit
