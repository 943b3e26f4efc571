"""Builds the firmware core with all its mutants into one library.

Knows the core's files, the preprocessor and the compiler; what is changed is core_mutator's. A change that does not compile
is left out. Constants of macros are seen expanded. Not changed: what stands in headers, tables outside functions, case labels,
the steps of for loops, sizes of arrays, and what only a small board's build compiles (#if).
"""

import re
import subprocess
from pathlib import Path
from typing import Final

from pycparser import c_ast
from pycparser.c_parser import CParser

from tests.tools.core_mutator import SMALL, Mutant, Mutator, Node, Numbering

HEADERS: Final = {
    "stdbool.h": "typedef _Bool bool;",
    "stddef.h": "typedef unsigned long size_t;",
    "stdint.h": "".join(
        f"typedef {sign} {word} {prefix}int{bits}_t;"
        for bits, word in ((8, "char"), (16, "short"), (32, "int"), (64, "long"))
        for sign, prefix in (("signed", ""), ("unsigned", "u"))
    ),
    "string.h": "",
}
REACHED: Final = 1
ACTED: Final = 3
"""What sc_reached says of a mutant; acted: for the values it met it made a difference."""
TRAPS: Final = ("-fwrapv", "-fsanitize=bounds-strict,shift-exponent", "-fsanitize-undefined-trap-on-error")
"""An index beyond its array is a crash, and so a kill."""
PRELUDE: Final = """{includes}
extern int sc_mutant;
extern unsigned char sc_reached[];
static inline int M(int n) {{ sc_reached[n] = {acted}; return n == sc_mutant; }}
static inline int D(int n, int acts) {{ sc_reached[n] |= acts ? {acted} : {reached}; return n == sc_mutant; }}
"""


def parse(source: Path, scratch: Path) -> Node:
    fake = scratch / "headers"
    fake.mkdir(parents=True, exist_ok=True)
    for name, content in HEADERS.items():
        (fake / name).write_text(content + "\n")
    command = ["gcc", "-E", "-nostdinc", f"-I{fake}", "-DSC_API=", "-D__attribute__(x)=", "-DSC_FIRMWARE_HASH=1u"]
    expanded = subprocess.run([*command, str(source)], check=True, capture_output=True, text=True).stdout
    return CParser().parse(expanded, str(source))


def constants_of(tree: Node) -> dict[str, int]:
    """Values of the enumerators: plain numbers and counting up; anything computed counts as large."""
    values: dict[str, int] = {}

    class Enumerators(c_ast.NodeVisitor):
        def visit_EnumeratorList(self, n: Node) -> None:  # noqa: N802
            following = 0
            for entry in n.enumerators:
                if isinstance(entry.value, c_ast.Constant):
                    following = int(entry.value.value, 0)
                elif entry.value is not None:
                    following = SMALL + 1
                values[entry.name] = following
                following += 1

    Enumerators().visit(tree)
    return values


def mutated(source: Path, tree: Node, numbering: Numbering) -> str:
    includes = "\n".join(re.findall(r"^#include .*", source.read_text(), re.M))
    printer = Mutator(source.name, numbering, constants_of(tree))
    parts = [PRELUDE.format(includes=includes, reached=REACHED, acted=ACTED)]
    for node in tree.ext:
        if node.coord is not None and Path(node.coord.file).name == source.name:
            end = "" if isinstance(node, c_ast.FuncDef) else ";"
            parts.append(printer.visit(node) + end + "\n")
    return "\n".join(parts)


def build(firmware: Path, out: Path) -> tuple[Path, list[Mutant]]:
    """The library with all mutants, and their list by number."""
    out.mkdir(parents=True, exist_ok=True)
    sources = sorted((firmware / "core").glob("*.c"))
    trees = {source: parse(source, out) for source in sources}
    numbering = Numbering()
    for _ in range(20):
        numbering.restart()
        for source in sources:
            (out / source.name).write_text(mutated(source, trees[source], numbering))
        refused = _refused(firmware, out, sources, numbering)
        if not refused:
            break
        numbering.refused |= refused
    chooser = f"int sc_mutant = -1; unsigned char sc_reached[{len(numbering.mutants)}];\n"
    (out / "chooser.c").write_text(chooser)
    library = out / "core.so"
    generated = [str(out / source.name) for source in sources]
    hal = [str(path) for path in sorted((firmware / "hal/posix").glob("*.c"))]
    command = [*_compiler(firmware), "-O2", "-shared", *generated, str(out / "chooser.c"), *hal, "-lm", "-pthread"]
    subprocess.run([*command, "-o", str(library)], check=True)
    return library, numbering.mutants


def _compiler(firmware: Path) -> list[str]:
    return ["gcc", "-std=gnu11", "-w", "-fPIC", *TRAPS, "-DSC_FIRMWARE_HASH=1u", f"-I{firmware / 'core'}"]


def _refused(firmware: Path, out: Path, sources: list[Path], numbering: Numbering) -> set[str]:
    """Keys of the mutants on lines that the compiler rejects."""
    refused: set[str] = set()
    for source in sources:
        command = [*_compiler(firmware), "-fsyntax-only", "-fmax-errors=0", str(out / source.name)]
        said = subprocess.run(command, check=False, capture_output=True, text=True).stderr
        lines = (out / source.name).read_text().splitlines()
        errors = {int(n) for n in re.findall(rf"{re.escape(source.name)}:(\d+):\d+: error", said)}
        for number in errors:
            found = re.match(r"/\*@(\d+)\*/", lines[number - 1])
            if found is None:
                raise ValueError(f"{out / source.name}:{number} does not compile:\n{said}")
            refused.add(numbering.mutants[int(found[1])].key)
    return refused
