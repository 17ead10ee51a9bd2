"""Why no model for soft-tissue sarcoma is bundled: Dice of the general 2D start's own heads on held-out patients.

``python benchmarks/sarcoma.py --data DIR`` prints a line for each scan of the patients that training never saw. The
heads were trained, slice by slice, on the other nine patients, as two tasks among thirteen.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))  # the recipes know the heads and the split

from training.data import SPLITS, normalised
from training.tasks import HEADS_2D

from napari_unetseg import load_model
from napari_unetseg.core.io.loadsave import load_labels, load_volume
from napari_unetseg.core.models.verification import dice_of

HEADS = {"CT": 10, "MR_T1": 11}  # their places in `training.tasks.general_2d_tasks`


@torch.inference_mode()
def dice(network: torch.nn.Module, image: Path, head: int) -> float:
    """Dice of the tumour over a whole scan."""
    truth = load_labels(image.with_name(image.name.replace("_image", "_mask"))).array > 0
    first = sum(HEADS_2D[:head])
    outputs = slice(first, first + HEADS_2D[head])
    scan = normalised(load_volume(image).array[0])[0]
    found = [network(plane[None, None])[0, outputs].argmax(0).numpy() > 0 for plane in scan]
    return dice_of(np.stack(found), truth)


def main() -> None:
    """Print a line for each scan."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the labelled sets")
    data = parser.parse_args().data
    network = load_model("general-2d").network
    for kind, head in HEADS.items():
        for patient in SPLITS["sarcoma3d"]["held_out"]:
            image = data / f"sarcoma3d/{patient}_{kind}_image.nii.gz"
            print(f"{kind} {patient}: Dice {dice(network, image, head):.3f}", flush=True)


if __name__ == "__main__":
    main()
