#include "runtime/base/read_file.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <string>

namespace mend {
namespace {

TEST(ReadFileTest, FilesOfEverySizeAreWhole) {
  const std::string path = testing::TempDir() + "read_file_test";
  for (const size_t size : {size_t{0}, size_t{1}, (size_t{1} << 16) - 1, size_t{1} << 16,
                            (size_t{1} << 16) + 1, size_t{3} << 16}) {
    std::string written(size, 'x');
    for (size_t i = 0; i < size; i += 251) written[i] = static_cast<char>(i % 256);
    std::ofstream(path, std::ios::binary) << written;
    const absl::StatusOr<std::string> contents = ReadFile(path);
    ASSERT_TRUE(contents.ok()) << contents.status();
    EXPECT_TRUE(*contents == written) << size;
  }
  std::remove(path.c_str());
}

TEST(ReadFileTest, WhatIsNoFileIsSaidSo) {
  EXPECT_EQ(ReadFile("/nonexistent/file").status().message(),
            "cannot open '/nonexistent/file': No such file or directory");
  EXPECT_EQ(ReadFile("/").status().message(), "cannot read '/': Is a directory");
}

}  // namespace
}  // namespace mend
