"""Sources of networks as files that need nothing but torch: what a package for other programs holds."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import TypeGuard

PACKAGE = __name__.partition(".")[0]
HEADER = '''"""The network of this package: plain PyTorch, written by napari-unetseg (BSD-3-Clause)."""

from __future__ import annotations

import sys
import types

from torch import nn

# Dataclasses look their module up, and some programs run this file without entering it there.
sys.modules.setdefault(__name__, types.ModuleType(__name__))


class SettingsError(ValueError):
    """A setting is outside what is allowed."""


Network = nn.Module
'''
STANDS_IN = {f"{PACKAGE}.engine.networks.network": ("Network",), f"{PACKAGE}.errors": ("SettingsError",)}
"""What of this program the header stands in for."""


@dataclass(frozen=True)
class Standalone:
    """A network's source, and what a package says of it.

    Parameters
    ----------
    source : str
        Python that needs torch alone.
    callable : str
        Its function that takes the fields of a card's architecture and gives a network; the file is named after it.
    citations : tuple of dict
        ``text`` and ``doi`` of each publication.
    tags : tuple of str
    """

    source: str
    callable: str
    citations: tuple[Mapping[str, str], ...] = ()
    tags: tuple[str, ...] = ()


def standalone_source(modules: Sequence[ModuleType], factory: str) -> str:
    """The source of modules of this program as one file that needs nothing but torch.

    Definitions that need more of this program, such as the network's `Architecture`, are left out.

    Parameters
    ----------
    modules : sequence of module
        The network's own last, after those that it takes parts from. No two may define the same name.
    factory : str
        Source of the function that makes the network of a card's fields.

    Raises
    ------
    ValueError
        If what the factory names had to be left out.
    """
    given = {name: set(names) for name, names in STANDS_IN.items()}
    parts, left_out = [HEADER], set[str]()
    for module in modules:
        source, missing = _exported(module, given)
        parts.append(source)
        given[module.__name__] = set(vars(module)) - missing
        left_out |= missing
    if missing := left_out & _names(ast.parse(factory)):
        raise ValueError(f"{', '.join(sorted(missing))} needs other modules of this program: export them too.")
    return "\n\n".join([*parts, factory])


def _exported(module: ModuleType, given: Mapping[str, set[str]]) -> tuple[str, set[str]]:
    """A module's source without its docstring, what it imports from this program, and what needs what is not given.

    Returns
    -------
    The source, and the names that are not there.
    """
    source = inspect.getsource(module)
    lines, (docstring, *body) = source.splitlines(keepends=True), ast.parse(source).body
    imports = [node for node in body if any(map(_is_ours, ast.walk(node)))]
    missing = {name for node in imports for name in _not_given(node, given)}
    dropped, rest = [docstring, *imports], [node for node in body if node not in imports]
    while needing := [node for node in rest if missing & _names(node)]:
        dropped += needing
        rest = [node for node in rest if node not in needing]
        missing |= {name for node in needing for name in _defined(node)}
    for node in dropped:
        first = min([node.lineno, *(part.lineno for part in getattr(node, "decorator_list", []))])
        last = node.end_lineno or node.lineno
        lines[first - 1 : last] = [""] * (last - first + 1)
    return "".join(lines).strip() + "\n", missing


def _is_ours(node: ast.AST) -> TypeGuard[ast.ImportFrom]:
    return isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in (PACKAGE, "__future__")


def _not_given(node: ast.AST, given: Mapping[str, set[str]]) -> set[str]:
    """Names that a statement imports from this program and that the file does not have."""
    ours = [part for part in ast.walk(node) if _is_ours(part) and part.module != "__future__"]
    return {alias.asname or alias.name for part in ours for alias in part.names} - {
        name for part in ours for name in given.get(part.module or "", ())
    }


def _names(node: ast.AST) -> set[str]:
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}


def _defined(node: ast.stmt) -> set[str]:
    """The names that a statement of a module defines."""
    if isinstance(node, ast.ClassDef | ast.FunctionDef):
        return {node.name}
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)}
