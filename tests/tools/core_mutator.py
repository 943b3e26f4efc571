"""Prints a C syntax tree with every small change a test ought to notice in it, each chosen by one number.

Knows C's syntax (pycparser) and which changes are worth making; reads no file, compiles nothing, runs no test.
"""

import re
from dataclasses import dataclass, field
from typing import Any, Final

from pycparser import c_ast
from pycparser.c_generator import CGenerator

SWAPS: Final = {
    "<": ("<=", ">="),
    "<=": ("<", ">"),
    ">": (">=", "<="),
    ">=": (">", "<"),
    "==": ("!=",),
    "!=": ("==",),
    "+": ("-",),
    "-": ("+",),
    "*": ("+",),
    "/": ("*",),
    "%": ("/",),
    "<<": (">>",),
    ">>": ("<<",),
    "&": ("|",),
    "|": ("&",),
    "^": ("|",),
}
ASSIGNMENT_SWAPS: Final = {"+=": "-=", "-=": "+=", "|=": "&=", "&=": "|=", "^=": "|=", ">>=": "<<=", "<<=": ">>="}
RELATIONS: Final = ("<", "<=", ">", ">=", "==", "!=")
SMALL: Final = 255  # constants up to here change by one, larger ones to half and double
Node = Any  # pycparser has no types


@dataclass(frozen=True)
class Mutant:
    number: int
    file: str
    function: str
    was: str
    becomes: str
    nth: int  # of the same change in the same function

    @property
    def key(self) -> str:
        again = f" ({self.nth})" if self.nth > 1 else ""
        return f"{self.file} {self.function}: {self.was} -> {self.becomes}{again}"


@dataclass
class Numbering:
    """Shared by the files of one build; a change that does not compile is `refused` and not made in the next round."""

    refused: set[str] = field(default_factory=set)
    mutants: list[Mutant] = field(default_factory=list)
    _seen: dict[tuple[str, str, str, str], int] = field(default_factory=dict)

    def restart(self) -> None:
        self.mutants.clear()
        self._seen.clear()

    def take(self, file: str, function: str, was: str, becomes: str, acts: str | None) -> str | None:
        """C that asks whether this mutant is chosen. `acts`: C for whether it makes a difference here; None: always."""
        change = (file, function, " ".join(was.split()), " ".join(becomes.split()))
        nth = self._seen[change] = self._seen.get(change, 0) + 1
        mutant = Mutant(len(self.mutants), *change, nth)
        if mutant.key in self.refused:
            return None
        self.mutants.append(mutant)
        asked = f"M({mutant.number})" if acts is None else f"D({mutant.number}, {acts})"
        return f"\n/*@{mutant.number}*/ {asked}"


class Mutator(CGenerator):
    """Prints a syntax tree as C with its mutants in it. Only what runs inside a function is changed."""

    def __init__(self, file: str, numbering: Numbering, constants: dict[str, int]) -> None:
        super().__init__()
        self._file, self._numbering, self._constants = file, numbering, constants
        self._function = ""
        self._temporaries = 0

    def _take(self, was: Node, becomes: str, acts: str | None = None) -> str | None:
        if not self._function:
            return None
        return self._numbering.take(self._file, self._function, text(was), becomes, acts)

    def _plain(self, node: Node) -> str:
        function, self._function = self._function, ""
        printed: str = self.visit(node)
        self._function = function
        return printed

    def visit_FuncDef(self, n: Node) -> str:  # noqa: N802
        head = self._plain(n.decl)
        self._function = n.decl.name
        body: str = self.visit(n.body)
        self._function = ""
        return f"{head}\n{body}\n"

    def visit_Enum(self, n: Node) -> str:  # noqa: N802
        return str(text(n))

    def visit_Typename(self, n: Node) -> str:  # noqa: N802
        return str(text(n))

    def visit_Case(self, n: Node) -> str:  # noqa: N802
        body = "".join(self._generate_stmt(s, add_indent=True) for s in n.stmts or [])
        return f"case {text(n.expr)}:\n{body}"

    def visit_NamedInitializer(self, n: Node) -> str:  # noqa: N802
        names = "".join(
            f".{name.name}" if isinstance(name, c_ast.ID) else f"[{text(name).strip('[]')}]" for name in n.name
        )
        return f"{names} = {self.visit(n.expr)}"

    def visit_Decl(self, n: Node, no_type: bool = False) -> str:  # noqa: N802
        if not self._function:
            return str(super().visit_Decl(n, no_type))
        if n.init is None:  # sizes of local arrays are the sanitizers' business
            return self._plain(n) if not no_type else str(super().visit_Decl(n, no_type))
        init, n.init = n.init, None
        head = self._plain(n) if not no_type else n.name
        n.init = init
        printed = self.visit(init)
        return f"{head} = {{{printed}}}" if isinstance(init, c_ast.InitList) else f"{head} = {printed}"

    def visit_BinaryOp(self, n: Node) -> str:  # noqa: N802
        if not self._function:
            return str(super().visit_BinaryOp(n))
        left, right = f"({self.visit(n.left)})", f"({self.visit(n.right)})"
        if n.op in ("&&", "||"):
            return self._logical(n, left, right)
        self._temporaries += 1
        a, b = f"a{self._temporaries}_", f"b{self._temporaries}_"
        arms = ""
        for op in SWAPS[n.op]:
            acts = f"({a} {op} {b}) != ({a} {n.op} {b})"
            choice = self._take(n, f"{text(n.left)} {op} {text(n.right)}", acts)
            arms += f"{choice} ? ({a} {op} {b}) : " if choice else ""
        if not arms:
            return f"({left} {n.op} {right})"
        return f"({{ __auto_type {a} = {left}; __auto_type {b} = {right}; {arms}\n ({a} {n.op} {b}); }})"

    def _logical(self, n: Node, left: str, right: str) -> str:
        """One operator acts as the other when its mutant is chosen, with its right side still evaluated only if needed."""
        other = "||" if n.op == "&&" else "&&"
        choice = self._take(n, f"{text(n.left)} {other} {text(n.right)}")
        if not choice:
            return f"({left} {n.op} {right})"
        self._temporaries += 1
        a = f"a{self._temporaries}_"
        stops = choice if n.op == "&&" else f"!{choice}"
        return f"({{ _Bool {a} = {left}; ({a} != ({stops})) ? (_Bool){right} : {a}; }})"

    def visit_UnaryOp(self, n: Node) -> str:  # noqa: N802
        if n.op == "sizeof" or not self._function:
            return str(text(n))
        operand = self.visit(n.expr)
        if n.op == "!":
            choice = self._take(n, text(n.expr))
            return f"((!({operand})) != ({choice}))" if choice else f"(!({operand}))"
        if n.op in ("p++", "p--"):
            other = "--" if n.op == "p++" else "++"
            choice = self._take(n, f"{text(n.expr)}{other}")
            return f"({choice} ? ({operand}){other} : ({operand}){n.op[1:]})" if choice else f"({operand}){n.op[1:]}"
        if n.op in ("++", "--"):
            other = "--" if n.op == "++" else "++"
            choice = self._take(n, f"{other}{text(n.expr)}")
            return f"({choice} ? {other}({operand}) : {n.op}({operand}))" if choice else f"{n.op}({operand})"
        return f"({n.op}({operand}))"

    def visit_Constant(self, n: Node) -> str:  # noqa: N802
        if n.type == "string":
            return str(n.value)
        return self._constant(n, n.value, int(re.sub("[uUlL]+$", "", n.value), 0))

    def visit_ID(self, n: Node) -> str:  # noqa: N802
        if n.name in ("true", "false"):
            other = "false" if n.name == "true" else "true"
            choice = self._take(n, other)
            return f"({choice} ? {other} : {n.name})" if choice else n.name
        if n.name.isupper() and n.name != "NULL":
            return self._constant(n, n.name, self._constants.get(n.name, 0))
        return str(n.name)

    def _constant(self, n: Node, name: str, value: int) -> str:
        changed = (f"{name} * 2", f"{name} / 2") if value > SMALL else (f"{name} + 1", f"{name} - 1")
        arms = ""
        for change in changed[: 1 if value == 0 else 2]:
            choice = self._take(n, change)
            arms += f"{choice} ? ({change}) : " if choice else ""
        return f"({arms}\n{name})" if arms else name

    def _condition(self, cond: Node) -> str:
        """Negated as a whole, where no change inside it would be the same."""
        printed: str = self.visit(cond)
        already = (isinstance(cond, c_ast.BinaryOp) and cond.op in RELATIONS) or (
            isinstance(cond, c_ast.UnaryOp) and cond.op == "!"
        )
        choice = None if already or isinstance(cond, c_ast.Constant) else self._take(cond, f"!({text(cond)})")
        return f"(!({printed})) == ({choice})" if choice else printed

    def visit_If(self, n: Node) -> str:  # noqa: N802
        printed = f"if ({self._condition(n.cond)})\n{self._body(n.iftrue)}"
        return printed + (f"else\n{self._body(n.iffalse)}" if n.iffalse else "")

    def visit_While(self, n: Node) -> str:  # noqa: N802
        return f"while ({self._condition(n.cond)})\n{self._body(n.stmt)}"

    def visit_For(self, n: Node) -> str:  # noqa: N802
        begin = self.visit(n.init) if n.init else ""
        step = self._plain(n.next) if n.next else ""  # counting the wrong way only runs for ever
        return f"for ({begin}; {self._condition(n.cond)}; {step})\n{self._body(n.stmt)}"

    def visit_TernaryOp(self, n: Node) -> str:  # noqa: N802
        return f"(({self._condition(n.cond)}) ? ({self.visit(n.iftrue)}) : ({self.visit(n.iffalse)}))"

    def visit_Assignment(self, n: Node) -> str:  # noqa: N802
        left, right = self.visit(n.lvalue), self.visit(n.rvalue)
        other = ASSIGNMENT_SWAPS.get(n.op)
        choice = self._take(n, f"{text(n.lvalue)} {other} {text(n.rvalue)}") if other else None
        return (
            f"({choice} ? ({left} {other} {right}) : ({left} {n.op} {right}))" if choice else f"{left} {n.op} {right}"
        )

    def _body(self, statement: Node) -> str:
        return "{\n" + self._generate_stmt(statement, add_indent=True) + "}\n"

    def _generate_stmt(self, n: Node, add_indent: bool = False) -> str:
        printed = str(super()._generate_stmt(n, add_indent))
        deletable = isinstance(n, c_ast.Assignment | c_ast.FuncCall | c_ast.UnaryOp | c_ast.Cast)
        choice = self._take(n, "nothing") if deletable else None
        return f"if (!({choice})) {{ {printed} }}\n" if choice else printed


def text(node: Node) -> str:
    return str(CGenerator().visit(node))
