"""The window's side of the loop of learning: a command goes to the loop that runs, or starts one."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

from qtpy.QtCore import QObject

from napari_unetseg.core.annotations.annotation import SentImage
from napari_unetseg.plugin.bridge import Bridge
from napari_unetseg.plugin.learn.loop import Command, CommandQueue, LearnRequest, learn


class LearnSession(QObject):
    """One session after another, each on its own images and choices; its loop ends and begins as commands come.

    Parameters
    ----------
    bridge : Bridge
        Runs the loop.
    describe : callable
        The request that a loop would begin with now; None where there is no image.
    view : callable
        The slice on screen.
    """

    def __init__(self, bridge: Bridge, describe: Callable[[], LearnRequest | None], view: Callable[[], int]) -> None:
        super().__init__(bridge)
        self._bridge, self._describe, self._view = bridge, describe, view
        self._commands = CommandQueue()
        self._sent: list[SentImage] = []
        self._numbers = count(1)
        self.live = False
        self._running = self.token = ""
        """Of the session that the last loop was started for, and of the one that counts."""
        self.resumes = False
        """Whether a child that does not hold the session begins it with the model that was kept."""

    @property
    def is_learning(self) -> bool:
        """Whether a loop runs that nobody has stopped."""
        return self._bridge.is_running and not self._commands.is_stopped

    @property
    def is_stopped(self) -> bool:
        """Whether what still comes from the loop may have no layer to show it on any more."""
        return self._commands.is_stopped

    @property
    def is_current(self) -> bool:
        """Whether the last loop was started for this session, and not for one before."""
        return self._running == self.token

    def begin(self) -> None:
        """Other images, or other choices: a session of its own."""
        if self._bridge.is_running:
            self._commands.stop()
        self.token = f"{id(self)}-{next(self._numbers)}"
        self.resumes = False
        self._sent = []

    def order(self, command: Command) -> None:
        """Have something done."""
        if self.is_learning:
            self._commands.put(command)
        else:
            self._start(command)

    def resume(self) -> None:
        """Begin with the model that was kept, and predict."""
        self.resumes = True
        self._start()

    def stop(self) -> None:
        """Let the loop end at the next opportunity."""
        self._commands.stop()

    def set_live(self, live: bool) -> None:
        """Whether the loop waits for more paint when all is done."""
        self.live = self._commands.live = live

    def look(self, _event: object = None) -> None:
        """Another slice may be on screen."""
        self._commands.view = self._view()

    def _start(self, command: Command | None = None) -> None:
        request = self._describe()
        if request is not None:
            self._commands = CommandQueue(self._view(), live=self.live)
            if command is not None:
                self._commands.put(command)
            self._running = request.token
            self._sent = self._sent or [SentImage(number) for number in range(len(request.images))]
            self._bridge.start("", learn, request, self._commands, self._sent)
