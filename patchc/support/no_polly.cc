// Debian's Clang has the loop optimiser Polly linked in, which acts only when -mllvm -polly asks
// for it. patchc leaves it out: Clang's libraries expect this function, and get a plug-in that does
// nothing.
#include <llvm/Passes/PassBuilder.h>
#include <llvm/Plugins/PassPlugin.h>

// Clang declares it in no header.
llvm::PassPluginLibraryInfo getPollyPluginInfo();  // NOLINT(readability-redundant-declaration)

llvm::PassPluginLibraryInfo getPollyPluginInfo() {
  llvm::PassPluginLibraryInfo info{};
  info.APIVersion = LLVM_PLUGIN_API_VERSION;
  info.PluginName = "NoPolly";
  info.PluginVersion = "1";
  info.RegisterPassBuilderCallbacks = [](llvm::PassBuilder&) {};
  return info;
}
