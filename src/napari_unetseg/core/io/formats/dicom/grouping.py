"""Images among DICOM frames: which lie on one grid, which follow each other in time, and which one is meant."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_unetseg.core.io.formats.dicom.headers import Frame
from napari_unetseg.core.notes import Note
from napari_unetseg.errors import InputError

Frames = tuple[Frame, ...]
CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
"""Secondary captures, of one frame or several: pictures of a screen."""
BESIDE = ("SEG", "SR", "PR", "KO", "RTDOSE", "RTSTRUCT", "RTPLAN", "RTIMAGE", "OT", "SC", "DOC", "REG", "FID")
"""Modalities of what lies beside an image."""
FEW = 3
"""Slices of a scout; it is one beside an image of twice as many."""
SAME_PLACE = 0.02  # of a pixel
KINDS: tuple[Callable[[Frame], Hashable], ...] = (
    lambda f: f.ImageType,
    lambda f: f.ComplexImageComponent,
    lambda f: f.EchoTime,
    lambda f: f.InversionTime,
    lambda f: f.StackID,
)
"""What tells different images of one series apart."""
TIMES: tuple[Callable[[Frame], Any], ...] = (
    lambda f: f.TemporalPositionIdentifier,
    lambda f: f.AcquisitionNumber,
    lambda f: f.TriggerTime,
    lambda f: f.AcquisitionTime,
    lambda f: f.ContentTime,
)
"""What tells the time points of one image apart."""
MOST_LISTED = 12


@dataclass(frozen=True)
class Image:
    """The frames of one image.

    Parameters
    ----------
    times : tuple of tuple of Frame
        Of each time point the slices, sorted along their normal; all have the same places.
    notes : tuple of Note
        What was left out to make it.
    """

    times: tuple[Frames, ...]
    notes: tuple[Note, ...] = ()

    @property
    def first(self) -> Frame:
        """The first slice of the first time point."""
        return self.times[0][0]

    @property
    def count(self) -> int:
        """Slices of a time point."""
        return len(self.times[0])

    def __str__(self) -> str:
        """Number and modality alone: descriptions are free text, and may name the patient."""
        first = self.first
        words = ("series", first.SeriesNumber or "without a number", first.Modality or "")
        times = f" at {len(self.times)} times" if len(self.times) > 1 else ""
        echo = f", echo time {first.EchoTime:g} ms" if first.EchoTime else ""
        size = f"of {self.count} slices{times}, {first.Rows} × {first.Columns}{echo}"
        return f"{' '.join(word for word in words if word)} {size}"


def images_of(frames: Sequence[Frame]) -> list[Image]:
    """The images that frames make: one geometry each, in the order of series numbers.

    Raises
    ------
    InputError
        If some slices of an image have no position, and others have.
    """
    unique, repeated = _without_copies(frames)
    images = [image for group in _by_geometry(unique) for image in _by_kind(group)]
    made = [_in_time(group) for group in images]
    made.sort(key=lambda image: (_number(image.first.SeriesNumber), image.first.SeriesInstanceUID))
    if repeated and made:
        note = Note(f"{repeated} slices are there twice and are read once.", "slices-repeated")
        made = [Image(image.times, (note, *image.notes)) for image in made]
    return made


def choose(folder: Path, images: Sequence[Image], series: str | None) -> tuple[Image, tuple[Note, ...]]:
    """The image that is meant, and a note on what lies beside it.

    Parameters
    ----------
    series : str or None
        Its number in the list, from 0, or the UID of its series. None takes the one that is no scout, segmentation,
        capture of a screen or dose, and is not derived from another.

    Raises
    ------
    InputError
        If there are several of these, or none of that number or UID; the message lists all.
    """
    candidates = _named(images, series) if series is not None else _principal(images)
    if not candidates:
        raise InputError(f"Expected a series of 0 to {len(images) - 1}, or its UID; got {series}. {_listed(images)}.")
    if len(candidates) > 1:
        raise InputError(f"{folder} holds {len(images)} images: {_listed(images)}. Choose one of them by --series N.")
    taken = candidates[0]
    if len(images) == 1 or series is not None:
        return taken, taken.notes
    what = "folder" if folder.is_dir() else "file"
    text = f"The {what} holds {len(images)} images ({_listed(images)}); {taken} is read. Choose another by --series N."
    return taken, (Note(text, "series-left-out", "--series"), *taken.notes)


def _listed(images: Sequence[Image]) -> str:
    more = [f"and {len(images) - MOST_LISTED} more"] if len(images) > MOST_LISTED else []
    return ", ".join([*(f"{n}: {image}" for n, image in enumerate(images[:MOST_LISTED])), *more])


def _named(images: Sequence[Image], series: str) -> list[Image]:
    if series.isdecimal():
        return list(images[int(series) : int(series) + 1])
    return [image for image in images if image.first.SeriesInstanceUID == series]


def _principal(images: Sequence[Image]) -> list[Image]:
    """The images that are meant where nothing is said; all of them where none stands out."""
    for is_beside in (_is_beside, _is_scout, _is_derived):
        kept = [image for image in images if not is_beside(image.first)]
        images = kept or images
    most = max(image.count for image in images)
    return [image for image in images if image.count > FEW or 2 * image.count > most]


def _is_beside(frame: Frame) -> bool:
    return frame.Modality in BESIDE or frame.is_segmentation or frame.SOPClassUID.startswith(CAPTURE)


def _is_scout(frame: Frame) -> bool:
    return any(word in ("LOCALIZER", "SCOUT") for word in frame.ImageType)


def _is_derived(frame: Frame) -> bool:
    return frame.ImageType[1:2] == ("SECONDARY",)


def _number(text: str | None) -> float:
    try:
        return float(text or "inf")
    except ValueError:
        return float("inf")


def _without_copies(frames: Sequence[Frame]) -> tuple[list[Frame], int]:
    """Frames without those that are there twice, as copied files are."""
    unique = dict[Hashable, Frame]()
    for frame in frames:
        same = (frame.SOPInstanceUID or str(frame.path), frame.model_copy(update={"path": Path()}))
        unique.setdefault(same, frame)
    return list(unique.values()), len(frames) - len(unique)


def _by_geometry(frames: Sequence[Frame]) -> list[list[Frame]]:
    """Frames of one series, size, pixel size and orientation."""
    groups, seen = defaultdict[Hashable, list[Frame]](list), list[np.ndarray[Any, Any]]()
    for frame in frames:
        shape = np.array([*frame.axes.ravel(), *np.log(frame.pixel or (1.0, 1.0))])
        like = next((n for n, other in enumerate(seen) if np.allclose(shape, other, atol=1e-3)), len(seen))
        if like == len(seen):
            seen.append(shape)
        kind = (frame.SOPClassUID, frame.Modality, frame.SamplesPerPixel, _is_scout(frame))
        groups[(frame.SeriesInstanceUID, frame.Rows, frame.Columns, like, *kind)].append(frame)
    for group in groups.values():
        placed = sum(frame.ImagePositionPatient is not None for frame in group)
        if 0 < placed < len(group):
            folder, lost = group[0].path.parent, len(group) - placed
            raise InputError(f"{folder} holds {lost} slices without a position in a series that has them.")
    return list(groups.values())


def _by_kind(frames: list[Frame]) -> list[list[Frame]]:
    """Frames of one kind, where several kinds lie at the same places, or acquisitions apart from each other."""
    if frames[0].is_segmentation:
        return [[f for f in frames if f.path == path] for path in dict.fromkeys(f.path for f in frames)]
    groups = [frames]
    for kind in KINDS:
        groups = [part for group in groups for part in _split(group, kind)]
    return [part for group in groups for part in _apart(group)]


def _split(frames: list[Frame], key: Callable[[Frame], Hashable]) -> list[list[Frame]]:
    """Frames by `key`, if that is what tells those at one place apart; else all of them."""
    parts, most = _parted(frames, key), _at_one_place(frames)
    is_told = 1 < len(parts) <= most and max(map(_at_one_place, parts)) < most
    return parts if is_told else [frames]


def _parted(frames: list[Frame], key: Callable[[Frame], Hashable]) -> list[list[Frame]]:
    parts = defaultdict[Hashable, list[Frame]](list)
    for frame in frames:
        parts[key(frame)].append(frame)
    return list(parts.values())


def _apart(frames: list[Frame]) -> list[list[Frame]]:
    """Acquisitions as images of their own, where each is even by itself and all together are not."""
    parts = _parted(frames, lambda frame: frame.AcquisitionNumber)
    if len(parts) == 1 or _at_one_place(frames) > 1 or _is_even(frames):
        return [frames]
    return parts if all(len(part) > 2 and _is_even(part) for part in parts) else [frames]


def _is_even(frames: list[Frame]) -> bool:
    steps = np.diff(sorted(frame.along for frame in frames))
    return bool(np.allclose(steps, np.median(steps), rtol=0.02)) if len(steps) else True


def _places(frames: Sequence[Frame]) -> list[list[Frame]]:
    """Frames by their place along the normal, in its order; they are one place within a fraction of a pixel."""
    ordered = sorted(frames, key=lambda frame: frame.along)
    near = SAME_PLACE * min(frames[0].pixel or (1.0, 1.0))
    places = [[ordered[0]]]
    for frame in ordered[1:]:
        if frame.along - places[-1][0].along <= near:
            places[-1].append(frame)
        else:
            places.append([frame])
    return places


def _at_one_place(frames: Sequence[Frame]) -> int:
    return max(map(len, _places(frames)))


def _in_time(frames: list[Frame]) -> Image:
    """One image of frames of one kind: by time where several lie at the same places."""
    places = _places(frames)
    most = max(map(len, places))
    if most == 1 or frames[0].is_segmentation:
        return Image((tuple(frame for place in places for frame in place),))
    for key in TIMES:
        parts = _parted(frames, key)
        if len(parts) == most and max(map(_at_one_place, parts)) == 1:
            return _complete(sorted(parts, key=lambda part: _rank(key(part[0]))))
    if min(map(len, places)) == most:  # as of a heart that beats unevenly: the times of each place for themselves
        ranked = [sorted(place, key=_moment) for place in places]
        return Image(tuple(zip(*ranked, strict=True)))
    kept = tuple(min(place, key=_moment) for place in places)
    note = f"{len(frames) - len(kept)} slices lie where another one lies and are left out."
    return Image((kept,), (Note(note, "slices-repeated"),))


def _complete(parts: list[list[Frame]]) -> Image:
    """Time points that have all slices; a note on those that have not."""
    whole = Counter(map(len, parts)).most_common()
    size = max(size for size, _ in whole)
    ordered = [tuple(sorted(part, key=lambda frame: frame.along)) for part in parts]
    first = next(part for part in ordered if len(part) == size)
    kept = [part for part in ordered if len(part) == size and _lie_together(part, first)]
    if len(kept) == len(parts):
        return Image(tuple(kept))
    note = f"{len(parts) - len(kept)} of {len(parts)} time points lack slices, or lie elsewhere, and are left out."
    return Image(tuple(kept), (Note(note, "time-points-left-out"),))


def _lie_together(one: Frames, other: Frames) -> bool:
    near = SAME_PLACE * min(other[0].pixel or (1.0, 1.0))
    return all(abs(a.along - b.along) <= near for a, b in zip(one, other, strict=True))


def _moment(frame: Frame) -> tuple[Any, ...]:
    return (*(_rank(key(frame)) for key in TIMES), _rank(frame.InstanceNumber), frame.index)


def _rank(value: Any) -> tuple[bool, float, str]:
    """Sort key of a number, a time as text, or nothing."""
    if value is None:
        return False, 0.0, ""
    return True, _number(str(value)), str(value)
