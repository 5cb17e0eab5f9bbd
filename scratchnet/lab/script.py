"""The script that was started, as a worker process imports it: without what is below its main guard."""

from __future__ import annotations

import ast
import functools
import os
import symtable
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


class Script(NamedTuple):
    """Whether it has a main guard; and, for each function and class of it, a global that this reads, itself or through
    others, and that is only set below the guard or by `global`: the name, or "" if there is none.
    """

    guarded: bool
    late: dict[str, str]


def script() -> Script:
    """The script that was started. Where there is none, as in a notebook, it has no guard and no functions."""
    path = getattr(sys.modules["__main__"], "__file__", None) or ""
    try:
        return _read(path, os.stat(path).st_mtime_ns)
    except (OSError, SyntaxError, ValueError):
        return Script(False, {})


@functools.cache
def _read(path: str, changed: int) -> Script:
    source = Path(path).read_text("utf-8")
    whole = symtable.symtable(source, path, "exec")
    tables = {table.get_name(): table for table in whole.get_children()}
    late, reads, own = _set_inside(whole), defaultdict[str, set[str]](set), []
    guarded = False
    for node in ast.parse(source).body:
        names = {name for each in _in_scope(node) for name in _bound(each)}
        if isinstance(node, ast.If) and "__name__" in ast.unparse(node.test):
            guarded, late = True, late | names
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            own.append(node.name)
            around = [*node.decorator_list, *getattr(node, "bases", [])]
            reads[node.name] |= _globals(tables[node.name]).union(*map(_names, around))
        else:
            for name in names:
                reads[name] |= _names(node)

    def first_late(name: str, seen: set[str]) -> str:
        seen.add(name)
        found = sorted((reads[name] | {name}) & late)  # itself: a class whose attribute is set below the guard
        further = (first_late(other, seen) for other in sorted(reads[name] & {*reads} - seen))
        return found[0] if found else next(filter(None, further), "")

    return Script(guarded, {name: first_late(name, set()) for name in own})


def _names(node: ast.AST) -> set[str]:
    return {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}


def _in_scope(node: ast.AST) -> Iterator[ast.AST]:
    """What may bind names of this scope: not the variables of a comprehension or of a function inside, but x.y = 1."""
    inner = set()
    for each in ast.walk(node):
        if isinstance(each, ast.comprehension):
            inner |= {*ast.walk(each.target)}
        elif isinstance(each, (ast.FunctionDef, ast.Lambda, ast.ClassDef)):
            inner |= {*ast.walk(each)} - {each}
    return (each for each in ast.walk(node) if each not in inner or isinstance(each, (ast.Attribute, ast.Subscript)))


def _bound(node: ast.AST) -> list[str]:
    """The names that this node of a syntax tree binds, or changes a part of: x = 1, x[0] = 1, x.y = 1, import x."""
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return [node.name]
    if isinstance(node, ast.alias):
        return [node.asname or node.name.partition(".")[0]]
    if not isinstance(getattr(node, "ctx", None), ast.Store):
        return []
    while isinstance(node, (ast.Subscript, ast.Attribute)):
        node = node.value
    return [node.id] if isinstance(node, ast.Name) else []


def _globals(table: symtable.SymbolTable) -> set[str]:
    """The globals that a function or class, or what is inside it, refers to."""
    own = {symbol.get_name() for symbol in table.get_symbols() if symbol.is_global()}
    return own.union(*map(_globals, table.get_children()))


def _set_inside(table: symtable.SymbolTable) -> set[str]:
    """The globals that functions set, with a statement `global`."""
    declared = {symbol.get_name() for symbol in table.get_symbols() if symbol.is_declared_global()}
    return declared.union(*map(_set_inside, table.get_children()))
