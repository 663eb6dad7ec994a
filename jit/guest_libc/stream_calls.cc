// stdio on streams that may sleep: terminals, pipes, sockets, whatever has a descriptor.
//
// A stream without a descriptor (fopencookie, memory) is left alone: its functions may be hosted
// code, which must not run in a blocked region. A call that the stream's buffer can serve enters no
// region, so that reading by characters stays cheap. getc_unlocked and putc_unlocked are inlined
// into the program; they come to __uflow and __overflow when the buffer is used up.
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <wchar.h>

#include <atomic>

#include "jit/guest_libc/blocking.h"

namespace mend::jit {
namespace {

// Conversions that the program defined for printf are hosted code as well.
constinit std::atomic<bool> printf_calls_back{false};

// `stdout` too: filling the buffer of one stream flushes that one.
bool ReadMaySleep(const FILE* stream) { return stream->_fileno >= 0 && stdout->_fileno >= 0; }
bool WriteMaySleep(const FILE* stream) { return stream->_fileno >= 0; }

bool HasBuffered(const FILE* stream, size_t size) {
  return static_cast<size_t>(stream->_IO_read_end - stream->_IO_read_ptr) >= size;
}

bool HasBufferedUpTo(const FILE* stream, int delimiter) {
  const auto size = static_cast<size_t>(stream->_IO_read_end - stream->_IO_read_ptr);
  return size != 0 && memchr(stream->_IO_read_ptr, delimiter, size) != nullptr;
}

// A line-buffered stream says that it has no room, so that every call is looked at.
bool HasRoom(const FILE* stream, size_t size) {
  return stream->_IO_write_end > stream->_IO_write_ptr &&
         static_cast<size_t>(stream->_IO_write_end - stream->_IO_write_ptr) > size;
}

// Relaxed: conversions are registered before they are used.
bool PrintCallsBack() { return printf_calls_back.load(std::memory_order_relaxed); }
bool PrintMaySleep(const FILE* stream) { return WriteMaySleep(stream) && !PrintCallsBack(); }

}  // namespace
}  // namespace mend::jit

using mend::BlockedRegion;
using mend::jit::HasBuffered;
using mend::jit::HasBufferedUpTo;
using mend::jit::HasRoom;
using mend::jit::PrintCallsBack;
using mend::jit::PrintMaySleep;
using mend::jit::ReadMaySleep;
using mend::jit::WriteMaySleep;

// Defines NAME as: call the next NAME, in a blocked region if `condition` holds.
#define MEND_STREAM(result, name, parameters, arguments, condition) \
  MEND_NEXT(result, name, MEND_UNWRAP parameters);                  \
  MEND_INTERPOSE(result, name, MEND_UNWRAP parameters) {            \
    if (!(condition)) return next_##name arguments;                 \
    const BlockedRegion region(#name);                              \
    return next_##name arguments;                                   \
  }

// clang-format off
MEND_STREAM(int, fgetc, (FILE* stream), (stream), !HasBuffered(stream, 1) && ReadMaySleep(stream))
MEND_STREAM(int, fgetc_unlocked, (FILE* stream), (stream), !HasBuffered(stream, 1) && ReadMaySleep(stream))
MEND_STREAM(int, getc, (FILE* stream), (stream), !HasBuffered(stream, 1) && ReadMaySleep(stream))
MEND_STREAM(int, _IO_getc, (FILE* stream), (stream), !HasBuffered(stream, 1) && ReadMaySleep(stream))
MEND_STREAM(int, getc_unlocked, (FILE* stream), (stream), !HasBuffered(stream, 1) && ReadMaySleep(stream))
MEND_STREAM(int, getchar, (), (), !HasBuffered(stdin, 1) && ReadMaySleep(stdin))
MEND_STREAM(int, getchar_unlocked, (), (), !HasBuffered(stdin, 1) && ReadMaySleep(stdin))
MEND_STREAM(int, __uflow, (FILE* stream), (stream), ReadMaySleep(stream))
MEND_STREAM(int, __underflow, (FILE* stream), (stream), ReadMaySleep(stream))
MEND_STREAM(int, getw, (FILE* stream), (stream), ReadMaySleep(stream))

MEND_STREAM(char*, fgets, (char* line, int size, FILE* stream), (line, size, stream), !HasBufferedUpTo(stream, '\n') && ReadMaySleep(stream))
MEND_STREAM(char*, fgets_unlocked, (char* line, int size, FILE* stream), (line, size, stream), !HasBufferedUpTo(stream, '\n') && ReadMaySleep(stream))
MEND_STREAM(char*, __fgets_chk, (char* line, size_t room, int size, FILE* stream), (line, room, size, stream), !HasBufferedUpTo(stream, '\n') && ReadMaySleep(stream))
MEND_STREAM(char*, __fgets_unlocked_chk, (char* line, size_t room, int size, FILE* stream), (line, room, size, stream), !HasBufferedUpTo(stream, '\n') && ReadMaySleep(stream))
MEND_STREAM(ssize_t, getline, (char** line, size_t* size, FILE* stream), (line, size, stream), !HasBufferedUpTo(stream, '\n') && ReadMaySleep(stream))
MEND_STREAM(ssize_t, getdelim, (char** line, size_t* size, int delimiter, FILE* stream), (line, size, delimiter, stream), !HasBufferedUpTo(stream, delimiter) && ReadMaySleep(stream))
MEND_STREAM(ssize_t, __getdelim, (char** line, size_t* size, int delimiter, FILE* stream), (line, size, delimiter, stream), !HasBufferedUpTo(stream, delimiter) && ReadMaySleep(stream))

MEND_STREAM(size_t, fread, (void* buffer, size_t size, size_t count, FILE* stream), (buffer, size, count, stream), !HasBuffered(stream, size * count) && ReadMaySleep(stream))
MEND_STREAM(size_t, fread_unlocked, (void* buffer, size_t size, size_t count, FILE* stream), (buffer, size, count, stream), !HasBuffered(stream, size * count) && ReadMaySleep(stream))
MEND_STREAM(size_t, __fread_chk, (void* buffer, size_t room, size_t size, size_t count, FILE* stream), (buffer, room, size, count, stream), !HasBuffered(stream, size * count) && ReadMaySleep(stream))
MEND_STREAM(size_t, __fread_unlocked_chk, (void* buffer, size_t room, size_t size, size_t count, FILE* stream), (buffer, room, size, count, stream), !HasBuffered(stream, size * count) && ReadMaySleep(stream))

MEND_STREAM(wint_t, fgetwc, (FILE* stream), (stream), ReadMaySleep(stream))
MEND_STREAM(wint_t, getwc, (FILE* stream), (stream), ReadMaySleep(stream))
MEND_STREAM(wint_t, getwchar, (), (), ReadMaySleep(stdin))
MEND_STREAM(wchar_t*, fgetws, (wchar_t* line, int size, FILE* stream), (line, size, stream), ReadMaySleep(stream))

MEND_STREAM(int, fputc, (int character, FILE* stream), (character, stream), !HasRoom(stream, 1) && WriteMaySleep(stream))
MEND_STREAM(int, putc, (int character, FILE* stream), (character, stream), !HasRoom(stream, 1) && WriteMaySleep(stream))
MEND_STREAM(int, _IO_putc, (int character, FILE* stream), (character, stream), !HasRoom(stream, 1) && WriteMaySleep(stream))
MEND_STREAM(int, putchar, (int character), (character), !HasRoom(stdout, 1) && WriteMaySleep(stdout))
MEND_STREAM(int, __overflow, (FILE* stream, int character), (stream, character), WriteMaySleep(stream))
MEND_STREAM(int, fputs, (const char* text, FILE* stream), (text, stream), WriteMaySleep(stream))
MEND_STREAM(int, fputs_unlocked, (const char* text, FILE* stream), (text, stream), WriteMaySleep(stream))
MEND_STREAM(int, puts, (const char* text), (text), WriteMaySleep(stdout))
MEND_STREAM(size_t, fwrite, (const void* buffer, size_t size, size_t count, FILE* stream), (buffer, size, count, stream), !HasRoom(stream, size * count) && WriteMaySleep(stream))
MEND_STREAM(size_t, fwrite_unlocked, (const void* buffer, size_t size, size_t count, FILE* stream), (buffer, size, count, stream), !HasRoom(stream, size * count) && WriteMaySleep(stream))
MEND_STREAM(wint_t, fputwc, (wchar_t character, FILE* stream), (character, stream), WriteMaySleep(stream))
MEND_STREAM(int, fputws, (const wchar_t* text, FILE* stream), (text, stream), WriteMaySleep(stream))

// All streams at once, cookies among them, if null.
MEND_STREAM(int, fflush, (FILE* stream), (stream), stream != nullptr && WriteMaySleep(stream))
MEND_STREAM(int, fflush_unlocked, (FILE* stream), (stream), stream != nullptr && WriteMaySleep(stream))
MEND_STREAM(int, fclose, (FILE* stream), (stream), WriteMaySleep(stream))
MEND_STREAM(int, pclose, (FILE* stream), (stream), true)
MEND_STREAM(FILE*, fopen, (const char* path, const char* mode), (path, mode), true)
MEND_STREAM(FILE*, fopen64, (const char* path, const char* mode), (path, mode), true)

MEND_STREAM(int, vfprintf, (FILE* stream, const char* format, va_list rest), (stream, format, rest), PrintMaySleep(stream))
MEND_STREAM(int, __vfprintf_chk, (FILE* stream, int flag, const char* format, va_list rest), (stream, flag, format, rest), PrintMaySleep(stream))
MEND_STREAM(int, vprintf, (const char* format, va_list rest), (format, rest), PrintMaySleep(stdout))
MEND_STREAM(int, __vprintf_chk, (int flag, const char* format, va_list rest), (flag, format, rest), PrintMaySleep(stdout))
MEND_STREAM(int, vdprintf, (int fd, const char* format, va_list rest), (fd, format, rest), !PrintCallsBack())
MEND_STREAM(int, __vdprintf_chk, (int fd, int flag, const char* format, va_list rest), (fd, flag, format, rest), !PrintCallsBack())

MEND_STREAM(int, vfscanf, (FILE* stream, const char* format, va_list rest), (stream, format, rest), ReadMaySleep(stream))
MEND_STREAM(int, __isoc99_vfscanf, (FILE* stream, const char* format, va_list rest), (stream, format, rest), ReadMaySleep(stream))
MEND_STREAM(int, vscanf, (const char* format, va_list rest), (format, rest), ReadMaySleep(stdin))
MEND_STREAM(int, __isoc99_vscanf, (const char* format, va_list rest), (format, rest), ReadMaySleep(stdin))
// clang-format on

// The variadic ones, by their relatives that take a list.
#define MEND_VARIADIC(name, parameters, last, call)        \
  MEND_INTERPOSE(int, name, MEND_UNWRAP parameters, ...) { \
    va_list rest;                                          \
    va_start(rest, last);                                  \
    const int result = call;                               \
    va_end(rest);                                          \
    return result;                                         \
  }
// clang-format off
MEND_VARIADIC(printf, (const char* format), format, mend_libc_vfprintf(stdout, format, rest))
MEND_VARIADIC(fprintf, (FILE* stream, const char* format), format, mend_libc_vfprintf(stream, format, rest))
MEND_VARIADIC(dprintf, (int fd, const char* format), format, mend_libc_vdprintf(fd, format, rest))
MEND_VARIADIC(__printf_chk, (int flag, const char* format), format, mend_libc___vfprintf_chk(stdout, flag, format, rest))
MEND_VARIADIC(__fprintf_chk, (FILE* stream, int flag, const char* format), format, mend_libc___vfprintf_chk(stream, flag, format, rest))
MEND_VARIADIC(__dprintf_chk, (int fd, int flag, const char* format), format, mend_libc___vdprintf_chk(fd, flag, format, rest))
MEND_VARIADIC(scanf, (const char* format), format, mend_libc_vfscanf(stdin, format, rest))
MEND_VARIADIC(fscanf, (FILE* stream, const char* format), format, mend_libc_vfscanf(stream, format, rest))
MEND_VARIADIC(__isoc99_scanf, (const char* format), format, mend_libc___isoc99_vfscanf(stdin, format, rest))
MEND_VARIADIC(__isoc99_fscanf, (FILE* stream, const char* format), format, mend_libc___isoc99_vfscanf(stream, format, rest))

// What newer libcs call scanf for C23. Only programs built there know these names.
MEND_STREAM(int, __isoc23_vfscanf, (FILE* stream, const char* format, va_list rest), (stream, format, rest), ReadMaySleep(stream))
MEND_STREAM(int, __isoc23_vscanf, (const char* format, va_list rest), (format, rest), ReadMaySleep(stdin))
MEND_VARIADIC(__isoc23_scanf, (const char* format), format, mend_libc___isoc23_vfscanf(stdin, format, rest))
MEND_VARIADIC(__isoc23_fscanf, (FILE* stream, const char* format), format, mend_libc___isoc23_vfscanf(stream, format, rest))

#define MEND_REGISTERS_CONVERSION(name, parameters, arguments)                   \
  MEND_NEXT(int, name, MEND_UNWRAP parameters);                                  \
  MEND_INTERPOSE(int, name, MEND_UNWRAP parameters) {                            \
    mend::jit::printf_calls_back.store(true, std::memory_order_relaxed);         \
    return next_##name arguments;                                                \
  }
MEND_REGISTERS_CONVERSION(register_printf_function, (int letter, void* convert, void* describe), (letter, convert, describe))
MEND_REGISTERS_CONVERSION(register_printf_specifier, (int letter, void* convert, void* describe), (letter, convert, describe))
MEND_REGISTERS_CONVERSION(register_printf_type, (void* read_argument), (read_argument))
// clang-format on
