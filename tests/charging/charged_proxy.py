"""A proxy whose requests have a price: the fake engine, and charging in memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from kvproxy.backends.base import Generation
from kvproxy.backends.fake.fake_backend import FakeBackend
from kvproxy.charging.fake_charging import FakeBooking, FakeCharging
from kvproxy.core import Caller, Charge, ChatRequest, DocumentPart, Prompt
from kvproxy.pipeline import Pipeline, Request
from kvproxy.served_model import ServedModel
from kvproxy.tariffs import DocumentTerms
from tests.charging.prices import PLENTY, TARIFF
from tests.server.doubles import CharComposer, Proxy, make_proxy

B = TypeVar("B", bound=FakeBackend)

SHARE = DocumentTerms(kind="share", share_ppm=300_000)
TEXT = "The handbook says. " * 40


class SellingComposer(CharComposer):
    """Every document is acme's."""

    async def compose_async(self, request: Request, caller: Caller, limit: int | None = None) -> Prompt:
        prompt = await super().compose_async(request, caller, limit)
        named = isinstance(request, ChatRequest) and any(
            isinstance(part, DocumentPart) for message in request.messages for part in message.content
        )
        spans = (replace(s, publisher="acme", etag="e", by_reference=named) for s in prompt.documents)
        return replace(prompt, documents=tuple(spans))


class HalfwayBackend(FakeBackend):
    """Stops in the middle of prefills while ``halfway`` is set: 5 positions from pages, 12 in all."""

    halfway = False

    async def _prefill(self, generation: Generation) -> int:
        if self.halfway and generation.progress is not None:
            generation.progress.follow(lambda: (5, 12))
        return await super()._prefill(generation)


@dataclass
class Charged(Generic[B]):
    """A proxy and its charging."""

    proxy: Proxy
    charging: FakeCharging
    backend: B

    @property
    def bookings(self) -> list[FakeBooking]:
        return self.charging.bookings

    def only(self) -> FakeBooking:
        """The one booking, after which nothing is held."""
        (booking,) = self.bookings
        assert self.charging.held == {}
        return booking

    def check_sums(self) -> None:
        """The balance has lost exactly the booked amounts."""
        assert self.charging.held == {}
        assert PLENTY - self.charging.balance == sum(c.cost for c in charges(self.bookings))

    def counted(self, name: str, **labels: str) -> float:
        """Return the value of a metric."""
        told = ",".join(f'{key}="{value}"' for key, value in labels.items())
        line = f"{name}_total{{{told}}} "
        text = self.proxy.components.pipeline.metrics.text().decode()
        return next(float(found.removeprefix(line)) for found in text.splitlines() if found.startswith(line))


def charges(bookings: Iterable[FakeBooking]) -> list[Charge]:
    return [b.settled.charge for b in bookings if b.settled.charge is not None]


def charged_proxy(balance: int = PLENTY, **options: Any) -> Charged[HalfwayBackend]:
    return charged_with(HalfwayBackend(), balance, **options)


def charged_with(backend: B, balance: int = PLENTY, **options: Any) -> Charged[B]:
    proxy = make_proxy(**options)
    for name in ("start_delay_s", "token_delay_s"):
        setattr(backend, name, getattr(proxy.backend, name))
    composer = SellingComposer()
    proxy.publisher._characters = proxy.composer = composer
    proxy.publisher._backend = proxy.backend = backend
    proxy.misses._local = backend
    charging = FakeCharging(TARIFF, balance, SHARE)
    pipeline = Pipeline(
        models=[ServedModel.of(backend, composer)],
        misses=proxy.misses,
        default_max_tokens=64,
        charging=charging,
    )
    proxy.components = replace(proxy.components, pipeline=pipeline, ready=backend.ready)
    return Charged(proxy, charging, backend)
