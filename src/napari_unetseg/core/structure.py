"""What a label means: its name, its colour and the network outputs it is made of."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Structure(BaseModel):
    """One named thing that a model finds.

    Parameters
    ----------
    label : int
        Its value in output labels, 1 and above.
    name : str
        What people call it, such as ``nucleus``.
    colour : str
        ``#rrggbb``.
    channels : tuple of int
        Network outputs whose probabilities add up to this structure; output 0 is background.
    seed_channel : int or None
        The one of `channels` that marks an object's core and is empty where objects touch. Where it is set, the
        structure comes out as numbered objects (see `core.objects`).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    label: int = Field(ge=1, le=65535)
    name: str = Field(min_length=1)
    colour: str = Field(pattern=r"^#[0-9a-fA-F]{6}$")
    channels: tuple[int, ...] = ()
    seed_channel: int | None = None
