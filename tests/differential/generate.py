"""Programs and edits of them, by a seed: some features (features.py) over three units and a header."""
import random
import re

from features import FEATURES

# By what a program names of them.
HEADERS = {"std::coroutine_handle": "coroutine", "std::function": "functional", "std::map": "map",
           "std::out_of_range": "stdexcept", "std::string": "string", "std::pair": "utility", "std::variant": "variant"}
EDIT = re.compile(r"<<(\d+):((?:[^|]|\|(?!\|))*?)\|\|(.*?)>>", re.DOTALL)
CHOICE = re.compile(r"\{%(.*?)%\}", re.DOTALL)


class Generated:
    """`files` and `edited` by name; `changed` and `unchanged` are the numbers of features."""

    def __init__(self, seed, features_max=7):
        rng = random.Random(seed)
        self.seed = seed
        self.language = rng.choice(["c", "cc"])
        usable = [f for f in FEATURES if f[0] == self.language]
        chosen = [rng.randrange(len(usable)) for _ in range(rng.randint(3, features_max))]
        self.level = rng.choice(["-O0", "-O1", "-O2", "-O2", "-O3"])
        self.edits = {}
        base, edited = {}, {}
        for number, index in enumerate(chosen, 100):
            self._add(usable[index], number, rng, base, edited)
        self.files = self._files(base)
        self.edited = self._files(edited)

    def _add(self, feature, number, rng, base, edited):
        _, header, units, show = feature
        texts = [header, *units, show]
        # Taken once, for both sides.
        texts = [CHOICE.sub(lambda m: rng.choice(m.group(1).split("|")), t).replace("@", str(number)) for t in texts]
        known = sorted({int(m.group(1)) for t in texts for m in EDIT.finditer(t)})
        taken = {k for k in known if rng.random() < 0.4} if rng.random() < 0.6 else set()
        if number == 100 and not taken:
            taken = {rng.choice(known)}
        self.edits[number] = sorted(taken)
        places = [rng.randrange(3) for _ in units]
        if len(units) > 1 and len(set(places)) == 1:
            places[-1] = (places[0] + 1) % 3
        for into, applied in ((base, set()), (edited, taken)):
            made = [EDIT.sub(lambda m: m.group(3) if int(m.group(1)) in applied else m.group(2), t) for t in texts]
            into.setdefault("header", []).append(made[0])
            for place, text in zip(places, made[1:-1]):
                into.setdefault(place, []).append(text)
            into.setdefault("show", []).append(made[-1])

    def _files(self, parts):
        extension = self.language
        text = "".join("".join(part) for part in parts.values())
        head = "".join("#include <%s>\n" % header for name, header in HEADERS.items() if name in text)
        files = {"parts.h": head + "".join(parts["header"])}
        include = "#include \"parts.h\"\n"
        for place in range(3):
            files["unit%d.%s" % (place, extension)] = include + "".join(parts.get(place, []))
        lines = []
        for show in parts["show"]:
            for value in split_arguments(show):
                if value.startswith("name"):
                    lines.append('  printf("%s = %%s\\n", %s);\n' % (value.replace("%", "%%"), value))
                else:
                    lines.append('  printf("%s = %%d\\n", (int)(%s));\n' % (value.replace("%", "%%"), value))
        # One after the other: a unit's functions of their own, so that little is in show.
        linkage = 'extern "C" ' if extension == "cc" else ""
        files["show.%s" % extension] = ("#include <stdio.h>\n" + include + linkage + "void show(int r) {\n"
                                        + "".join(lines) + "}\n")
        return files


def split_arguments(text):
    """At the commas outside of parentheses."""
    parts, depth, start = [], 0, 0
    for at, c in enumerate(text):
        depth += (c == "(") - (c == ")")
        if c == "," and depth == 0:
            parts.append(text[start:at].strip())
            start = at + 1
    return parts + [text[start:].strip()]
