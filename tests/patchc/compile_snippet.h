// Compiles a snippet to a plain object, so that tests of object comparison need no driver.
#ifndef MEND_TESTS_PATCHC_COMPILE_SNIPPET_H_
#define MEND_TESTS_PATCHC_COMPILE_SNIPPET_H_

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>

namespace mend::patchc {

// `extension` is ".c" or ".cc". The empty string when it does not compile.
inline std::string CompileSnippet(std::string_view source, const char* extension = ".c",
                                  const char* flags = "-O2") {
  std::string folder = (std::filesystem::temp_directory_path() / "mend-snippet-XXXXXX").string();
  if (mkdtemp(folder.data()) == nullptr) return {};
  const std::string file = folder + "/snippet" + extension;
  std::ofstream(file) << source;
  const std::string command =
      "cd " + folder + " && " MEND_TEST_CLANG " -c " + flags +
      " -fPIE -ffunction-sections -fdata-sections -fasynchronous-unwind-tables "
      "-fpatchable-function-entry=8 -falign-functions=16 snippet" +
      extension + " -o snippet.o";
  std::string object;
  if (std::system(command.c_str()) == 0) {
    std::ostringstream contents;
    contents << std::ifstream(folder + "/snippet.o", std::ios::binary).rdbuf();
    object = contents.str();
  }
  std::filesystem::remove_all(folder);
  return object;
}

}  // namespace mend::patchc

#endif  // MEND_TESTS_PATCHC_COMPILE_SNIPPET_H_
