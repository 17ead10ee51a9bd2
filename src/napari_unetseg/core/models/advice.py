"""Advice in words, from the figures of a prediction: what is likely wrong with its model, and what to try."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from napari_unetseg.core.grid import UNITS
from napari_unetseg.core.metrics.scores import Evaluation, StructureScore
from napari_unetseg.core.models.fine_tuned_card import FineTuneSettings
from napari_unetseg.core.settings import setting
from napari_unetseg.core.units import quantity

Remedy = Literal["structure_weight", "boundary_weight", "several_scales", "learning_rate", "minutes"]
FAR_BOUNDARY_WEIGHT, BLURRED_BOUNDARY_WEIGHT = 0.5, 0.3
"""The share of the loss that is advised for boundaries: of surfaces that are far off, and of blurred edges."""
SLOWER, LONGER = 0.5, 2.0
"""Factor of the learning rate, and minutes, that are advised where classes are weighed."""
MOST_NAMES = 3
"""Structures that are named one by one; of more, their number is told."""


@dataclass(frozen=True)
class AdviceRules:
    """When a figure is a reason for advice."""

    low_sensitivity: float = setting(0.6, "Below this share of a structure found, most of it is missed.")
    high_specificity: float = setting(0.98, "Above this share of the rest left out, the model prefers background.")
    low_specificity: float = setting(0.9, "Below this share of the rest left out, it is predicted all over the place.")
    good_dice: float = setting(0.8, "From this Dice on, the structure as a whole is found.")
    poor_boundary: float = setting(0.7, "Below this boundary Dice and surface Dice, its edges are blurred.")
    far: float = setting(0.25, "From this share of its diameter on, a surface is far off,")
    far_mm: float = setting(10.0, "and from so many millimetres on in any case; but not within three tolerances.")
    large_found: float = setting(0.8, "From this share of large parts found, and")
    small_missed: float = setting(0.5, "below this share of small parts found, size is what matters.")


@dataclass(frozen=True)
class Advice:
    """One thing to try, for all structures for which there is the same reason.

    Parameters
    ----------
    structures : tuple of int
        The labels that it is about.
    text : str
        What is likely wrong and what to try, in a sentence or two.
    settings : dict of str to float
        What to change for the next training: fields of `core.models.fine_tuned_card.FineTuneSettings`; 1 switches
        on. Empty where the remedy is another one.
    """

    structures: tuple[int, ...]
    text: str
    settings: dict[Remedy, float]


@dataclass(frozen=True)
class _Finding:
    """A structure's score, and what its figures are in."""

    score: StructureScore
    evaluation: Evaluation

    @property
    def far(self) -> float:
        """The Hausdorff distance as a multiple of the structure's diameter (of a ball or disc of its size)."""
        size, flat = self.score.reference_volume, self.evaluation.dimensions == 2
        diameter = 2 * math.sqrt(size / math.pi) if flat else 2 * math.cbrt(size * 3 / (4 * math.pi))
        return self.score.hausdorff / diameter

    @property
    def millimetres(self) -> float:
        """The Hausdorff distance; 0 where the unit is none of lengths."""
        unit = self.evaluation.unit
        return self.score.hausdorff * UNITS[unit] / UNITS["mm"] if unit in UNITS else 0.0


Findings = Sequence[_Finding]


@dataclass(frozen=True)
class _Reason:
    """A reason for advice: when it holds, how it is put, and what to do about it."""

    holds: Callable[[_Finding, AdviceRules], bool]
    words: Callable[[Findings], str]
    settings: Callable[[Findings], dict[Remedy, float]]


DEFAULTS = AdviceRules()


def advise(evaluation: Evaluation, rules: AdviceRules = DEFAULTS) -> list[Advice]:
    """Advise on every structure that the reference has; an empty list where nothing stands out.

    Structures for which there is the same reason share a line.
    """
    return advise_cases({"": evaluation}, rules)


def advise_cases(evaluations: Mapping[str, Evaluation], rules: AdviceRules = DEFAULTS) -> list[Advice]:
    """The same for many cases: a line says in how many of them it holds."""
    return list(_lines(evaluations, rules))


def follow(settings: FineTuneSettings, advice: Iterable[Advice]) -> FineTuneSettings:
    """Learning settings with all that is advised: of several values the strongest, and none weakened.

    Settings that train for a number of steps, or not at all, keep it.
    """
    values = asdict(settings)
    for one in advice:
        for name, value in one.settings.items():
            if values[name] is not None:
                strongest = min if name == "learning_rate" else max
                values[name] = type(values[name])(strongest(values[name], value))
    return FineTuneSettings(**values)


def advice_record(advice: Iterable[Advice]) -> list[dict[str, Any]]:
    """Advice as plain values for JSON."""
    return [{**asdict(one), "structures": list(one.structures)} for one in advice]


def _lines(evaluations: Mapping[str, Evaluation], rules: AdviceRules) -> Iterator[Advice]:
    for reason in REASONS:
        found = {
            case: [f for f in _findings(evaluation) if reason.holds(f, rules)]
            for case, evaluation in evaluations.items()
        }
        every = [finding for findings in found.values() for finding in findings]
        if every:
            hit = sum(map(bool, found.values()))
            cases = f" in {hit} of {len(evaluations)} cases" if len(evaluations) > 1 else ""
            labels = dict.fromkeys(finding.score.label for finding in every)
            yield Advice(tuple(labels), f"{_who(every)}{cases}: {reason.words(every)}", reason.settings(every))


def _findings(evaluation: Evaluation) -> Findings:
    return [_Finding(score, evaluation) for score in evaluation.structures if score.reference_volume > 0]


def _who(findings: Findings) -> str:
    """The structures by name; of many, how many there are."""
    names = list({finding.score.label: finding.score.name for finding in findings}.values())
    return ", ".join(names) if len(names) <= MOST_NAMES else f"{len(names)} structures ({names[0]}, {names[1]}, …)"


def _range(findings: Findings, metric: str) -> tuple[float, float]:
    values = [float(getattr(finding.score, metric)) for finding in findings]
    return min(values), max(values)


def _shares(findings: Findings, metric: str) -> str:
    """``50%``, or from the least to the most: ``31% to 55%``."""
    return " to ".join(dict.fromkeys(f"{value:.0%}" for value in _range(findings, metric)))


def _figures(findings: Findings, metric: str) -> str:
    return " to ".join(dict.fromkeys(f"{value:.2f}" for value in _range(findings, metric)))


def _misses_most(finding: _Finding, rules: AdviceRules) -> bool:
    score = finding.score
    return score.sensitivity < rules.low_sensitivity and score.specificity > rules.high_specificity


def _missing_words(findings: Findings) -> str:
    return (
        f"mostly background is predicted there; {_shares(findings, 'sensitivity')} of it is found. Give it more weight "
        f"({_weight(findings):g} times), at half the learning rate and for longer."
    )


def _weight(findings: Findings) -> float:
    """One over the share that is found, 2 to 5."""
    least = max(_range(findings, "sensitivity")[0], 0.01)
    return float(min(max(round(1 / least), 2), 5))


def _weighed(findings: Findings) -> dict[Remedy, float]:
    return {"structure_weight": _weight(findings), "learning_rate": SLOWER, "minutes": LONGER}


def _is_everywhere(finding: _Finding, rules: AdviceRules) -> bool:
    return finding.score.specificity < rules.low_specificity


def _everywhere_words(findings: Findings) -> str:
    return (
        f"found in many places where it is not (specificity {_figures(findings, 'specificity')}). Use an anatomical "
        "prior: Clean up, step prior, with a map of where it can be or a few painted slices. Painting background where "
        "it is wrong helps too."
    )


def _is_far(finding: _Finding, rules: AdviceRules) -> bool:
    score = finding.score
    if score.dice < rules.good_dice or not math.isfinite(score.hausdorff):
        return False
    beyond = finding.far >= rules.far or finding.millimetres >= rules.far_mm
    return beyond and score.hausdorff > 3 * finding.evaluation.tolerance


def _far_words(findings: Findings) -> str:
    distances = [quantity(distance) for distance in _range(findings, "hausdorff")]
    text = (
        f"found as a whole (Dice {_figures(findings, 'dice')}), but its surface is off by up to "
        f"{' to '.join(dict.fromkeys(distances))} {findings[0].evaluation.unit}. Add a boundary term to the loss "
        f"({FAR_BOUNDARY_WEIGHT:g})."
    )
    if any((f.score.parts or 0) > (f.score.reference_parts or 0) for f in findings):
        text += " If stray parts are what is far off, Clean up removes them (keep largest)."
    return text


def _is_blurred(finding: _Finding, rules: AdviceRules) -> bool:
    score = finding.score
    poor = max(score.boundary_dice, score.nsd) < rules.poor_boundary
    return score.dice >= rules.good_dice and poor and not _is_far(finding, rules)


def _blurred_words(findings: Findings) -> str:
    return (
        f"found as a whole (Dice {_figures(findings, 'dice')}), but its edges are blurred (boundary Dice "
        f"{_figures(findings, 'boundary_dice')}, surface Dice {_figures(findings, 'nsd')}). Add a boundary term to the "
        f"loss ({BLURRED_BOUNDARY_WEIGHT:g})."
    )


def _misses_small(finding: _Finding, rules: AdviceRules) -> bool:
    small, large = finding.score.small_recall, finding.score.large_recall
    return small is not None and large is not None and large >= rules.large_found and small < rules.small_missed


def _small_words(findings: Findings) -> str:
    return (
        f"large parts are found ({_shares(findings, 'large_recall')}), small ones are missed "
        f"({_shares(findings, 'small_recall')} found). Train on several scales."
    )


REASONS = (
    _Reason(_misses_most, _missing_words, _weighed),
    _Reason(_is_everywhere, _everywhere_words, lambda _: {}),
    _Reason(_is_far, _far_words, lambda _: {"boundary_weight": FAR_BOUNDARY_WEIGHT}),
    _Reason(_is_blurred, _blurred_words, lambda _: {"boundary_weight": BLURRED_BOUNDARY_WEIGHT}),
    _Reason(_misses_small, _small_words, lambda _: {"several_scales": 1.0}),
)
"""In the order in which their advice is told."""
