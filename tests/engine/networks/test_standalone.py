"""A network's source runs without this program, and gives what the network gives."""

import importlib
import subprocess
import sys

import pytest
import torch

from napari_unetseg.engine.networks import chunked, fused, padding
from napari_unetseg.engine.networks.registry import architecture_of
from napari_unetseg.engine.networks.standalone import standalone_source
from napari_unetseg.engine.networks.unets import unet
from napari_unetseg.engine.networks.unets.unet import UNet, UNetSettings

SETTINGS = UNetSettings(2, 1, 2, widths=(4, 8), norm="batch")
FUSED = '''def fused_unet(**fields: Any) -> FusedUNet:
    """A fused network."""
    return FusedUNet(UNet(UNetSettings.from_json(fields)).eval())
'''
BLOCKED = "import sys; sys.modules['napari_unetseg'] = None\n"
"""After this, importing the program fails."""


def run(source: str) -> str:
    future = "from __future__ import annotations\n"
    code = future + BLOCKED + source.replace(future, "")
    done = subprocess.run([sys.executable, "-"], input=code, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_source_of_a_u_net_builds_it_from_its_card_s_fields(tmp_path):
    network = UNet(SETTINGS).eval()
    torch.save(dict(network.state_dict()), tmp_path / "weights.pt")
    standalone = architecture_of(SETTINGS).standalone()
    path = tmp_path / f"{standalone.callable}.py"
    path.write_text(standalone.source, encoding="utf-8")
    found = run(
        f"sys.path.insert(0, {str(tmp_path)!r}); import torch; from unet import *\n"
        f"network = {standalone.callable}(**{SETTINGS.to_json()}).eval()\n"
        f"network.load_state_dict(torch.load({str(tmp_path / 'weights.pt')!r}))\n"
        "print(float(network(torch.ones(1, 1, 8, 8)).double().sum()))"
    )
    with torch.inference_mode():
        assert float(found) == pytest.approx(float(network(torch.ones(1, 1, 8, 8)).double().sum()), rel=1e-6)


def test_modules_that_take_parts_from_each_other_become_one_file(tmp_path):
    (tmp_path / "fused_unet.py").write_text(standalone_source([padding, unet, chunked, fused], FUSED), encoding="utf-8")
    found = run(
        f"sys.path.insert(0, {str(tmp_path)!r}); import torch; from fused_unet import fused_unet\n"
        f"print(*fused_unet(**{SETTINGS.to_json()})(torch.ones(1, 1, 8, 8)).shape)"
    )
    assert found.split() == ["1", "2", "8", "8"]


def test_what_needs_more_of_the_program_is_refused_where_the_network_hangs_on_it():
    with pytest.raises(ValueError, match=r"FusedUNet needs other modules of this program"):
        standalone_source([padding, unet, fused], FUSED)


ONE_FILE = '''"""A network and its architecture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from napari_unetseg.engine.networks.architecture import Architecture
from napari_unetseg.engine.networks.network import Network
from napari_unetseg.engine.networks.padding import mirror_pad
from napari_unetseg.errors import SettingsError

if TYPE_CHECKING:
    from napari_unetseg.engine.networks.standalone import Standalone

WIDTH = 3


class Grown(Network):
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        if image.dim() != 4:
            raise SettingsError("Expected (N, C, Y, X).")
        return mirror_pad(image, [(1, WIDTH - 1)] * 2)


@dataclass(frozen=True)
class GrownArchitecture(Architecture[Any]):
    """It stays here."""

    def standalone(self) -> Standalone:
        raise NotImplementedError


BUILT: type[Architecture[Any]] = GrownArchitecture
'''


def test_an_architecture_in_the_network_s_own_file_stays_here(tmp_path, monkeypatch):
    (tmp_path / "one_file.py").write_text(ONE_FILE, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("one_file")
    source = standalone_source([padding, module], "def grown() -> Grown:\n    return Grown()\n")
    assert "Architecture" not in source
    found = run(f"{source}\nprint(*grown()(torch.ones(1, 1, 8, 8)).shape)")
    assert found.split() == ["1", "1", "11", "11"]
