// The table of descriptors that the runtime shares with the program: large enough before there are
// threads, and nothing left open.
#include "runtime/base/high_descriptor.h"

#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <fstream>
#include <string>

namespace mend {
namespace {

constexpr int kHighest = 513;  // the server's second

// What the kernel has allocated, in descriptors.
int TableSize() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("FDSize:")) return std::stoi(line.substr(7));
  }
  return -1;
}

int OpenCount() {
  int count = 0;
  DIR* const directory = opendir("/proc/self/fd");
  while (directory != nullptr && readdir(directory) != nullptr) ++count;
  if (directory != nullptr) closedir(directory);
  return count;
}

TEST(HighDescriptorTest, RoomIsMadeAndNothingStaysOpen) {
  const int open_before = OpenCount();
  ASSERT_LE(TableSize(), kHighest) << "the test's parent left it a large table";
  MakeRoomForDescriptorsUp();
  EXPECT_GT(TableSize(), kHighest);
  EXPECT_EQ(OpenCount(), open_before);
}

TEST(HighDescriptorTest, WithoutSuchNumbersADescriptorStaysWhereItIs) {
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit low = {256, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
  const int open_before = OpenCount();
  MakeRoomForDescriptorsUp();
  EXPECT_EQ(OpenCount(), open_before);
  const int fd = open("/", O_PATH | O_CLOEXEC);
  EXPECT_EQ(MoveDescriptorUp(fd), fd);
  close(fd);
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
}

}  // namespace
}  // namespace mend
