// An exception that nobody catches: its message, and death by SIGABRT.
#include <stdexcept>
int main() { throw std::runtime_error("nobody catches me"); }
