"""Sources of networks as files that need nothing but torch: what a package for other programs holds."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import ModuleType

FUTURE = "from __future__ import annotations\n"
HEADER = f'''"""The network of this package: plain PyTorch, written by napari-unetseg (BSD-3-Clause)."""

{FUTURE}
import sys
import types

# Dataclasses look their module up, and some programs run this file without entering it there.
sys.modules.setdefault(__name__, types.ModuleType(__name__))
'''
REPLACED = {
    "from napari_unetseg.engine.networks.network import Network\n": "\nNetwork = nn.Module\n",
    "from napari_unetseg.errors import SettingsError\n": '''
class SettingsError(ValueError):
    """A setting is outside what is allowed."""

''',
}
"""What may be imported from this program by a module that is exported, and what stands for it."""


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
    citations: tuple[Mapping[str, str], ...] = field(default=())
    tags: tuple[str, ...] = ()


def standalone_source(module: ModuleType, factory: str) -> str:
    """The source of a module of this program as a file that needs nothing but torch.

    Parameters
    ----------
    module : module
        It imports torch's modules, ``nn`` from it, the standard library, and what `REPLACED` names.
    factory : str
        Source of the function that makes the network of a card's fields.
    """
    body = inspect.getsource(module).partition(FUTURE)[2]
    for imported, stands_for in REPLACED.items():
        body = body.replace(imported, stands_for)
    return f"{HEADER}{body}\n\n{factory}"
