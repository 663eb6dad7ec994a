// What FilterAllows says of filters, against what the kernel does with the same ones.
#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vector>

#include "jit/guest_libc/seccomp_filter.h"

namespace mend::jit {
namespace {

using Filter = std::vector<sock_filter>;

constexpr sock_filter kAllow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
constexpr sock_filter kKill = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
constexpr sock_filter kLoadNumber = BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr));

sock_fprog Program(Filter& filter) {
  return {static_cast<unsigned short>(filter.size()), filter.data()};
}

// Whether the kernel lets a process with the filter call getppid; exit_group has to be allowed.
bool KernelAllows(Filter& filter) {
  const pid_t child = fork();
  if (child == 0) {
    const sock_fprog program = Program(filter);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
      _exit(3);
    }
    _exit(syscall(SYS_getppid) > 0 ? 0 : 4);
  }
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  EXPECT_FALSE(WIFEXITED(status) && WEXITSTATUS(status) == 3) << "the filter is not taken";
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

void ExpectAsKernel(Filter filter, bool allows) {
  EXPECT_EQ(FilterAllows(Program(filter), SYS_getppid), allows);
  EXPECT_EQ(KernelAllows(filter), allows);
}

TEST(SeccompFilterTest, NumbersAreCompared) {
  ExpectAsKernel(
      {kLoadNumber, BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1), kKill, kAllow}, false);
  ExpectAsKernel(
      {kLoadNumber, BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getpid, 0, 1), kKill, kAllow}, true);
  ExpectAsKernel(
      {kLoadNumber, BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, SYS_getppid, 1, 0), kKill, kAllow}, true);
  ExpectAsKernel({kLoadNumber, BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, SYS_getppid - 1, 0, 1),
                  BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, SYS_getppid, 0, 1), kAllow, kKill},
                 false);
}

TEST(SeccompFilterTest, TheArchitectureIsOurs) {
  ExpectAsKernel({BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, arch)),
                  BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0), kKill, kAllow},
                 true);
}

TEST(SeccompFilterTest, ArithmeticAndMemory) {
  // The number as it was, after many steps that each take back another one.
  ExpectAsKernel({kLoadNumber,
                  BPF_STMT(BPF_ALU | BPF_ADD | BPF_K, 5),
                  BPF_STMT(BPF_ST, 3),
                  BPF_STMT(BPF_LD | BPF_IMM, 0),
                  BPF_STMT(BPF_LDX | BPF_MEM, 3),
                  BPF_STMT(BPF_MISC | BPF_TXA, 0),
                  BPF_STMT(BPF_ALU | BPF_SUB | BPF_K, 5),
                  BPF_STMT(BPF_ALU | BPF_LSH | BPF_K, 4),
                  BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 4),
                  BPF_STMT(BPF_ALU | BPF_MUL | BPF_K, 3),
                  BPF_STMT(BPF_ALU | BPF_DIV | BPF_K, 3),
                  BPF_STMT(BPF_ALU | BPF_OR | BPF_K, 0x1000),
                  BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xfff),
                  BPF_STMT(BPF_ALU | BPF_NEG, 0),
                  BPF_STMT(BPF_ALU | BPF_NEG, 0),
                  BPF_STMT(BPF_MISC | BPF_TAX, 0),
                  BPF_STMT(BPF_STX, 4),
                  BPF_STMT(BPF_ALU | BPF_XOR | BPF_X, 0),
                  BPF_STMT(BPF_ALU | BPF_OR | BPF_X, 0),
                  BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 2),
                  BPF_STMT(BPF_JMP | BPF_JA, 2),
                  kKill,
                  kAllow,
                  BPF_STMT(BPF_LD | BPF_MEM, 4),
                  BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, SYS_getppid, 0, 1),
                  kKill,
                  kAllow},
                 false);
}

TEST(SeccompFilterTest, OtherAnswersThanYes) {
  ExpectAsKernel({kLoadNumber, BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
                  BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 1), kAllow},
                 false);
  ExpectAsKernel(
      {kLoadNumber, BPF_STMT(BPF_LD | BPF_IMM, SECCOMP_RET_LOG), BPF_STMT(BPF_RET | BPF_A, 0)},
      true);
}

TEST(SeccompFilterTest, WhatIsNoFilterAllowsNothing) {
  for (Filter filter :
       {Filter{}, Filter{kLoadNumber}, Filter{BPF_STMT(BPF_ST, BPF_MEMWORDS), kAllow},
        Filter{BPF_STMT(BPF_LD | BPF_W | BPF_ABS, sizeof(seccomp_data)), kAllow},
        Filter{BPF_JUMP(BPF_JMP | BPF_JA, 9, 0, 0), kAllow},
        Filter{BPF_STMT(BPF_ALU | BPF_DIV | BPF_K, 0), kAllow}}) {
    EXPECT_FALSE(FilterAllows(Program(filter), SYS_getppid));
  }
}

}  // namespace
}  // namespace mend::jit
