"""Round by round over all parts and all products, in an order that is shuffled each time; and what comes of it.

The speed of a machine that others share goes up and down by the minute. What is measured side by side, in every order,
can be compared all the same.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import mkdtemp

from loadtest.compare.client import Place
from loadtest.compare.clients import Clients, ClientsFailed
from loadtest.compare.parts import Bench, Part, Refused, Scale, warm_up
from loadtest.compare.product import NotHere, Product, Running
from loadtest.compare.surroundings import Surroundings
from loadtest.report.model import Measure, Spread
from loadtest.vestibule import free_port

Progress = Callable[[str], None]


@dataclass(slots=True)
class Results:
    """Every value so far, and why some are missing."""

    values: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    """Measure -> product -> its values, round by round."""
    absent: dict[str, str] = field(default_factory=dict)
    """Product, or product and part, -> the reason."""
    remarks: list[str] = field(default_factory=list)
    """What has to be said of single values: round, product, part."""

    @property
    def rounds(self) -> int:
        """How many there are values of: fewer than were planned when somebody has interrupted."""
        return max((len(values) for products in self.values.values() for values in products.values()), default=0)

    def add(self, measure: str, product: str, value: float) -> None:
        """One more value."""
        self.values.setdefault(measure, {}).setdefault(product, []).append(value)


def measures(results: Results, parts: Mapping[str, Part], scale: Scale) -> list[Measure]:
    """Median and range of what there is, in the order of the parts; what nobody has a value for is left out."""
    return [
        Measure(
            name=row.name,
            unit=row.unit,
            goal=row.goal,
            how=row.how,
            values={product: spread(values) for product, values in results.values[row.name].items()},
        )
        for part in parts.values()
        for row in part.rows(scale)
        if row.name in results.values
    ]


def spread(values: Sequence[float]) -> Spread:
    """The median and the range of at least one value."""
    return Spread(median=median(values), least=min(values), most=max(values))


class Rounds:
    """Measures products into `results`, which grow meanwhile, so that an interrupted run has something to tell."""

    def __init__(
        self,
        around: Surroundings,
        clients: Clients,
        scale: Scale,
        results: Results,
        progress: Progress = lambda text: None,
    ) -> None:
        self.results = results
        self._around = around
        self._clients = clients
        self._scale = scale
        self._progress = progress

    def run(self, products: Sequence[Product], parts: Mapping[str, Part], seed: int | None = None) -> None:
        """All rounds. A product that cannot be started, or a part it does not hold out, is noted and left out."""
        order = random.Random(seed)
        with ExitStack() as stack:
            running = dict(self._started(products, stack))
            for number in range(self._scale.rounds):
                for name, part in parts.items():
                    for product in order.sample(list(running), len(running)):
                        turn = f"round {number + 1} of {self._scale.rounds}: {name}: {product.name}"
                        self._progress(turn)
                        remarks = self._take(name, part, product, running[product])
                        self.results.remarks += [f"{turn}: {remark}" for remark in remarks]

    def _started(self, products: Sequence[Product], stack: ExitStack) -> Iterator[tuple[Product, Running]]:
        for product in products:
            self._progress(f"starting {product.name}")
            try:
                running = stack.enter_context(self._start(product))
                warm_up(self._bench(product, running))
            except (NotHere, Refused) as reason:
                self.results.absent[product.name] = str(reason)
            else:
                yield product, running

    def _take(self, name: str, part: Part, product: Product, running: Running) -> list[str]:
        """Add the values to the results, or the reason why there are none; remarks are returned."""
        place = f"{product.name}: {name}"
        if place in self.results.absent:
            return []
        try:
            with ExitStack() as stack:
                if part.fresh:
                    running = stack.enter_context(self._start(product))
                    warm_up(self._bench(product, running))
                bench = self._bench(product, running)
                values = part.take(bench)
        except (NotHere, Refused, ClientsFailed) as reason:
            self.results.absent[place] = str(reason)
            self._clients.all("close")
            return []
        for row, value in zip(part.rows(self._scale), values, strict=True):
            self.results.add(row.name, product.name, value)
        return bench.remarks

    @contextmanager
    def _start(self, product: Product) -> Iterator[Running]:
        folder = Path(mkdtemp(prefix=f"{product.name.lower()}-", dir=self._around.folder))
        folder.chmod(0o755)
        with product.start(self._around, folder, free_port("127.0.0.1")) as running:
            yield running

    def _bench(self, product: Product, running: Running) -> Bench:
        backend = Place(self._around.imap, tls=False)
        return Bench(product, running, self._clients, backend, self._scale)
