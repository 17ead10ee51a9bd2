"""The same figures by libraries that others keep, for comparison."""

from __future__ import annotations

import warnings

import numpy as np
import SimpleITK
import torch
from monai import metrics as monai
from scipy import ndimage


def one_hot(mask: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(mask))[None, None].float()


def monai_surfaces(
    predicted: np.ndarray, reference: np.ndarray, spacing: tuple[float, ...], tolerance: float
) -> dict[str, float]:
    pair = one_hot(predicted), one_hot(reference)
    options = {"include_background": True, "spacing": list(spacing)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {
            "hausdorff": monai.compute_hausdorff_distance(*pair, **options).item(),
            "hausdorff95": monai.compute_hausdorff_distance(*pair, percentile=95, **options).item(),
            "assd": monai.compute_average_surface_distance(*pair, symmetric=True, **options).item(),
            "nsd": monai.compute_surface_dice(*pair, class_thresholds=[tolerance], **options).item(),
        }


def monai_overlap(predicted: np.ndarray, reference: np.ndarray) -> dict[str, float]:
    pair = one_hot(predicted), one_hot(reference)
    confusion = monai.get_confusion_matrix(*pair, include_background=True)
    names = {"precision": "precision", "sensitivity": "sensitivity", "specificity": "specificity"}
    figures = {name: monai.compute_confusion_matrix_metric(other, confusion).item() for name, other in names.items()}
    return figures | {"dice": monai.compute_dice(*pair).item(), "iou": monai.compute_iou(*pair).item()}


def itk_hausdorff(predicted: np.ndarray, reference: np.ndarray, spacing: tuple[float, ...]) -> float:
    """Hausdorff distance of the contours that SimpleITK finds."""
    contours = []
    for mask in (predicted, reference):
        image = SimpleITK.GetImageFromArray(np.pad(mask, 1).astype(np.uint8))
        image.SetSpacing(spacing[::-1])
        contours.append(SimpleITK.LabelContour(image, fullyConnected=False))
    measure = SimpleITK.HausdorffDistanceImageFilter()
    measure.Execute(*contours)
    return float(measure.GetHausdorffDistance())


def boundary_dice(predicted: np.ndarray, reference: np.ndarray, spacing: tuple[float, ...], width: float) -> float:
    """Dice of the inner bands, by scipy's distance transform and erosion."""
    bands = []
    for mask in (predicted, reference):
        depth = ndimage.distance_transform_edt(np.pad(mask, 1), sampling=spacing)[(slice(1, -1),) * mask.ndim]
        bands.append(mask & ((depth <= width + 1e-9) | ~ndimage.binary_erosion(mask)))
    return monai_overlap(*bands)["dice"]
