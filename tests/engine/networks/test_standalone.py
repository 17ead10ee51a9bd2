"""A network's source runs without this program, and gives what the network gives."""

import subprocess
import sys

import pytest
import torch

from napari_unetseg.engine.networks import chunked, fused
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
    done = subprocess.run([sys.executable, "-"], input=BLOCKED + source, capture_output=True, text=True, check=False)
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
    (tmp_path / "fused_unet.py").write_text(standalone_source([unet, chunked, fused], FUSED), encoding="utf-8")
    found = run(
        f"sys.path.insert(0, {str(tmp_path)!r}); import torch; from fused_unet import fused_unet\n"
        f"print(*fused_unet(**{SETTINGS.to_json()})(torch.ones(1, 1, 8, 8)).shape)"
    )
    assert found.split() == ["1", "2", "8", "8"]


def test_a_module_that_needs_more_of_the_program_is_refused():
    with pytest.raises(ValueError, match=r"fused needs Convolution, InPlace, Merge, Pool of .*chunked: export it too"):
        standalone_source([unet, fused], FUSED)
