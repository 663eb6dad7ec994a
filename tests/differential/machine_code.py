"""Reads what functions and data an object file has (x86-64 ELF), in a form that can be compared with another's: bytes,
with each relocation by what it leads to. It shares nothing with patchc's own comparison.

Named things go by their names, without the numbers that the compiler puts behind them; string literals, other
constants without a name and jump tables by their contents. A function's exception table is part of it."""
import re
import struct

_NUMBERS = re.compile(r"(\.llvm)?\.\d+$")
_WRITE, _ALLOC, _EXECUTE, _MERGE, _STRINGS = 0x1, 0x2, 0x4, 0x10, 0x20
_PC_RELATIVE = {2, 4, 9, 19, 20, 22, 41, 42}  # PC32, PLT32, the GOT's and TLS' relative to the instruction
_OBJECT, _FUNCTION = 1, 2


def name_without_numbers(name):
    while True:
        shorter = _NUMBERS.sub("", name)
        if shorter == name:
            return name
        name = shorter


class _Section:
    def __init__(self, name, flags, data, entry_size):
        self.name, self.flags, self.data, self.entry_size = name, flags, data, entry_size
        self.relocations = []  # (offset, type, symbol, addend)
        self.symbols = []      # those with names


class _Symbol:
    def __init__(self, name, kind, section, value, size):
        self.name, self.kind, self.section, self.value, self.size = name, kind, section, value, size
        self.is_named = bool(name) and not name.startswith(".L")


class ObjectFile:
    """`functions` and `data` lead from a name to the sorted list of what has it: C++ gives some names twice."""

    def __init__(self, path):
        with open(path, "rb") as file:
            self._image = file.read()
        self._read_sections()
        self._read_symbols()
        self._read_relocations()
        self._tables = self._exception_tables()
        self.referred = {}  # the name of a function -> the names that it refers to
        self.functions = self._contents_of(_FUNCTION)
        self.data = self._contents_of(_OBJECT)

    def _read_sections(self):
        start, = struct.unpack_from("<Q", self._image, 40)
        size, count, names = struct.unpack_from("<HHH", self._image, 58)
        if count == 0:
            count, = struct.unpack_from("<Q", self._image, start + 32)
        self._headers = [struct.unpack_from("<IIQQQQIIQQ", self._image, start + size * i) for i in range(count)]
        if names == 0xffff:
            names = self._headers[0][6]
        text = self._headers[names][4]
        self._sections = []
        for name, kind, flags, _, offset, length, _, _, _, entry_size in self._headers:
            data = b"" if kind == 8 else self._image[offset:offset + length]
            self._sections.append(_Section(self._string(text + name), flags, data, entry_size))

    def _string(self, offset):
        return self._image[offset:self._image.index(b"\0", offset)].decode()

    def _read_symbols(self):
        table = next(i for i, header in enumerate(self._headers) if header[1] == 2)
        names = self._headers[self._headers[table][6]][4]
        further = next((self._sections[i].data for i, header in enumerate(self._headers) if header[1] == 18), None)
        self._symbols = []
        for number, (name, info, _, section, value, size) in enumerate(
                struct.iter_unpack("<IBBHQQ", self._sections[table].data)):
            if section == 0xffff and further:
                section, = struct.unpack_from("<I", further, 4 * number)
            symbol = _Symbol(self._string(names + name), info & 15, section, value, size)
            self._symbols.append(symbol)
            if symbol.is_named and 0 < section < len(self._sections) and symbol.kind in (_OBJECT, _FUNCTION):
                self._sections[section].symbols.append(symbol)

    def _read_relocations(self):
        for number, header in enumerate(self._headers):
            if header[1] == 4:
                for offset, info, addend in struct.iter_unpack("<QQq", self._sections[number].data):
                    self._sections[header[7]].relocations.append((offset, info & 0xffffffff, info >> 32, addend))

    def _exception_tables(self):
        """The section of a function -> that of its table. The unwind tables name the one after the other."""
        found, function = {}, None
        for section in self._sections:
            if section.name == ".eh_frame":
                for _, _, symbol, _ in sorted(section.relocations):
                    number = self._symbols[symbol].section
                    if 0 < number < len(self._sections):
                        if self._sections[number].flags & _EXECUTE:
                            function = number
                        elif self._sections[number].name.startswith(".gcc_except_table"):
                            found[function] = number
        return found

    def _contents_of(self, kind):
        found = {}
        for symbol in self._symbols:
            if symbol.is_named and symbol.kind == kind and 0 < symbol.section < len(self._sections):
                contents = self._range(symbol.section, symbol.value, symbol.size, ())
                if kind == _FUNCTION and symbol.section in self._tables:
                    contents += ((0, 0, ("exceptions", self._section(self._tables[symbol.section], ()))),)
                name = name_without_numbers(symbol.name)
                found.setdefault(name, []).append(contents)
                self.referred.setdefault(name, set()).update(target[0] for _, _, target in contents[3:])
        return {name: sorted(contents, key=repr) for name, contents in found.items()}

    def _range(self, number, start, size, seen):
        section = self._sections[number]
        return (section.flags & _WRITE, size, section.data[start:start + size],
                *((offset - start, kind, self._target(kind, symbol, addend, seen))
                  for offset, kind, symbol, addend in section.relocations if start <= offset < start + size))

    def _section(self, number, seen):
        """Of a section without names: the whole of it."""
        if number in seen:
            return ("itself",)
        return self._range(number, 0, len(self._sections[number].data), seen + (number,))

    def _target(self, kind, number, addend, seen):
        symbol = self._symbols[number]
        if symbol.is_named or not 0 < symbol.section < len(self._sections):
            return (name_without_numbers(symbol.name), addend)
        section = self._sections[symbol.section]
        place = symbol.value + addend + (4 if kind in _PC_RELATIVE else 0)
        if section.flags & _MERGE and section.flags & _STRINGS:
            return ("string", self._literal(section, place))
        if section.flags & _MERGE:  # an instruction's immediate operand lies between the address and its base
            place = -(-place // section.entry_size) * section.entry_size
            return ("constant", section.data[place:place + section.entry_size])
        for named in section.symbols:
            if named.value <= place < named.value + named.size or len(section.symbols) == 1:
                return (name_without_numbers(named.name), place - named.value)
        if section.flags & _EXECUTE or section.symbols:
            return (section.name, place)
        return ("unnamed", place, self._section(symbol.section, seen))

    @staticmethod
    def _literal(section, place):
        width = max(section.entry_size, 1)
        end = place
        while end < len(section.data) and any(section.data[end:end + width]):
            end += width
        return section.data[place:end]


def differing(old, new):
    """Names that both have, with other contents."""
    return {name for name in old if name in new and old[name] != new[name]}
