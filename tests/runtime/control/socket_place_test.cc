#include "runtime/control/socket_place.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace mend {
namespace {

class SocketPlaceTest : public testing::Test {
 protected:
  SocketPlaceTest() {
    char path[] = "/tmp/mend-place-XXXXXX";
    base_ = ::mkdtemp(path);
    ::unsetenv("XDG_RUNTIME_DIR");
    ::unsetenv("TMPDIR");
  }
  ~SocketPlaceTest() override {
    [[maybe_unused]] const int removed = ::system(absl::StrCat("rm -rf ", base_).c_str());
  }
  std::string base_;
};

TEST_F(SocketPlaceTest, RuntimeDirectoryComesFirst) {
  ::setenv("XDG_RUNTIME_DIR", base_.c_str(), 1);
  EXPECT_EQ(DefaultSocketPath(42), base_ + "/mend/42.sock");
}

TEST_F(SocketPlaceTest, RelativeRuntimeDirectoryIsIgnored) {
  ::setenv("XDG_RUNTIME_DIR", "here", 1);
  EXPECT_FALSE(absl::StrContains(DefaultSocketPath(42), "here"));
}

TEST_F(SocketPlaceTest, RuntimeDirectoryThatIsNotThisUsersIsIgnored) {
  const std::string without = DefaultSocketDirectory();
  ::setenv("XDG_RUNTIME_DIR", (base_ + "/none").c_str(), 1);
  EXPECT_EQ(DefaultSocketDirectory(), without);
  ::setenv("XDG_RUNTIME_DIR", base_.c_str(), 1);
  EXPECT_EQ(DefaultSocketDirectory(), base_ + "/mend");
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to make another user's directory";
  ASSERT_EQ(::chown(base_.c_str(), 12345, 12345), 0);
  EXPECT_EQ(DefaultSocketDirectory(), without);
  // Sockets that lie there are found all the same.
  const std::vector<std::string> searched = SocketDirectories();
  EXPECT_EQ(std::count(searched.begin(), searched.end(), base_ + "/mend"), 1);
}

TEST_F(SocketPlaceTest, WithoutRuntimeDirectory) {
  ::setenv("TMPDIR", base_.c_str(), 1);
  const std::string expected =
      ::geteuid() == 0 ? "/run/mend" : absl::StrCat(base_, "/mend-", ::geteuid());
  EXPECT_EQ(DefaultSocketDirectory(), expected);
}

TEST_F(SocketPlaceTest, DirectoryIsMadePrivate) {
  const std::string directory = base_ + "/mend";
  ASSERT_TRUE(PrepareSocketDirectory(directory).ok());
  struct stat status = {};
  ASSERT_EQ(::stat(directory.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0700u);
  EXPECT_TRUE(PrepareSocketDirectory(directory).ok());
  EXPECT_EQ(PrepareSocketDirectory(base_ + "/none/mend").code(), absl::StatusCode::kUnavailable);
}

TEST_F(SocketPlaceTest, LinkIsRefused) {
  ASSERT_EQ(::mkdir((base_ + "/real").c_str(), 0700), 0);
  ASSERT_EQ(::symlink((base_ + "/real").c_str(), (base_ + "/mend").c_str()), 0);
  EXPECT_EQ(PrepareSocketDirectory(base_ + "/mend").code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(CheckSocketDirectory(base_ + "/mend").code(), absl::StatusCode::kPermissionDenied);
}

TEST_F(SocketPlaceTest, DirectoryOpenToOthersIsRefused) {
  ASSERT_EQ(::mkdir((base_ + "/mend").c_str(), 0700), 0);
  ASSERT_EQ(::chmod((base_ + "/mend").c_str(), 0770), 0);
  EXPECT_EQ(PrepareSocketDirectory(base_ + "/mend").code(), absl::StatusCode::kPermissionDenied);
}

TEST_F(SocketPlaceTest, AnotherUsersDirectoryIsRefused) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to make another user's directory";
  ASSERT_EQ(::mkdir((base_ + "/mend").c_str(), 0700), 0);
  ASSERT_EQ(::chown((base_ + "/mend").c_str(), 12345, 12345), 0);
  const absl::Status refused = PrepareSocketDirectory(base_ + "/mend");
  EXPECT_EQ(refused.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_TRUE(absl::StrContains(refused.message(), "12345"));
  EXPECT_TRUE(CheckSocketDirectory(base_ + "/mend").ok()) << "root operates other users' programs";
}

TEST_F(SocketPlaceTest, PlacesOfOtherEnvironmentsAreSearchedOnce) {
  ::setenv("TMPDIR", "/tmp/", 1);
  const std::vector<std::string> directories = SocketDirectories();
  const std::string temporary = absl::StrCat("/tmp/mend-", ::geteuid());
  EXPECT_EQ(std::count(directories.begin(), directories.end(), temporary), 1);
}

}  // namespace
}  // namespace mend
