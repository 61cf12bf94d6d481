"""What is to be done at the end of an event, gathered while it is dealt with."""

from collections import deque

from director.actions import Action, Note, Publish, Send
from director.hints import changed
from director.wire import ToWorker


class Outbox:
    """Orders for whoever does I/O, in their order; `now` is the time of the event, in seconds.

    `unsettled` are users who are to be settled before the event is over; `changed` those whose records have changed in
    a way that other nodes may wait for.
    """

    def __init__(self, life: str, now: float) -> None:
        self.now = now
        self.unsettled: deque[str] = deque()
        self.changed: list[str] = []
        self.actions: list[Action] = []
        self._life = life

    def do(self, action: Action) -> None:
        """Have this done."""
        self.actions.append(action)

    def send(self, worker: str, message: ToWorker) -> None:
        """Say this to a worker."""
        self.actions.append(Send(worker, message))

    def note(self, level: int, text: str) -> None:
        """Tell the operator."""
        self.actions.append(Note(level, text))

    def take(self, *, others: bool) -> list[Action]:
        """Return everything, and begin anew; `others`: there are nodes that want to know what has changed."""
        if self.changed:
            if others:
                self.actions.extend(Publish(message) for message in changed(self._life, self.changed))
            self.changed.clear()
        actions, self.actions = self.actions, []
        return actions
