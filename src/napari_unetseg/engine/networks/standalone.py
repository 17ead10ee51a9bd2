"""Sources of networks as files that need nothing but torch: what a package for other programs holds."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType

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

    Parameters
    ----------
    modules : sequence of module
        The network's own last, after those that it takes parts from. No two may define the same name.
    factory : str
        Source of the function that makes the network of a card's fields.

    Raises
    ------
    ValueError
        If a module needs more of this program than earlier ones and the header give.
    """
    given = {name: set(names) for name, names in STANDS_IN.items()}
    parts = [HEADER]
    for module in modules:
        parts.append(_without_imports(module, given))
        given[module.__name__] = set(vars(module))
    return "\n\n".join([*parts, factory])


def _without_imports(module: ModuleType, given: Mapping[str, set[str]]) -> str:
    """A module's source without its docstring and without what it imports from this program or from the future."""
    source = inspect.getsource(module)
    lines, (docstring, *body) = source.splitlines(keepends=True), ast.parse(source).body
    dropped = [docstring, *(node for node in body if isinstance(node, ast.ImportFrom) and _is_ours(node))]
    for node in dropped[1:]:
        _check_given(module, node, given)
    for node in dropped:
        lines[node.lineno - 1 : node.end_lineno] = [""] * ((node.end_lineno or node.lineno) - node.lineno + 1)
    return "".join(lines).strip() + "\n"


def _is_ours(node: ast.ImportFrom) -> bool:
    return (node.module or "").split(".")[0] in (PACKAGE, "__future__")


def _check_given(module: ModuleType, node: ast.AST, given: Mapping[str, set[str]]) -> None:
    if isinstance(node, ast.ImportFrom) and node.module != "__future__":
        missing = {alias.name for alias in node.names} - given.get(node.module or "", set())
        if missing:
            raise ValueError(f"{module.__name__} needs {', '.join(sorted(missing))} of {node.module}: export it too.")
