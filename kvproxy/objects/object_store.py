"""`ObjectStore`: an object store by URL, each call bounded in time, retried a few times, and refused while it is down.

The only module that imports obstore (the extra ``objects``). Blocking: for worker threads, never for the event loop or
the engine's thread. obstore waits without the GIL.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from kvproxy.errors import SetupError
from kvproxy.objects.bounded_calls import BoundedCalls, StoreErrors, first_line
from kvproxy.objects.circuit_breaker import CircuitBreaker
from kvproxy.objects.object_address import SCHEMES, ObjectAddress
from kvproxy.objects.object_counts import ObjectCounts
from kvproxy.objects.object_results import ObjectAbsent, ObjectFound, ObjectTooLarge, SwapConflict, Swapped

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig
    from obstore.store import ObjectStore as AnyStore

_SWAP_LOCK = ".kvproxy-swap-lock"


class ObjectStore:
    """Objects by name. Any thread. Names have no leading slash; those below the URL's own path are seen.

    A call takes at most two times ``timeout_s`` in all, and as long again where ``most_at_once`` others run. Every
    failure is ObjectsUnavailable.

    Example:
        ``ObjectStore(ObjectAddress("s3://kv/fleet")).read("pages/a.page", most=2**26)``
    """

    def __init__(self, address: ObjectAddress) -> None:
        """Open the store; nothing is asked of it yet. Raises SetupError: no obstore, or the address is wrong."""
        self.address = address
        self._obstore = _obstore()
        self._store, self._folder = self._open()
        self._calls = BoundedCalls(address, _store_errors(self._obstore.exceptions))

    @property
    def breaker(self) -> CircuitBreaker:
        """The breaker of all calls."""
        return self._calls.breaker

    @property
    def counts(self) -> ObjectCounts:
        """The counts of all calls."""
        return self._calls.counts

    def create(self, name: str, data: bytes | memoryview) -> bool:
        """Write a new object; return False, with nothing written, where one of this name exists."""
        try:
            self._calls.make("create", lambda: self._obstore.put(self._store, name, data, mode="create"))
        except self._obstore.exceptions.AlreadyExistsError:
            return False
        self.counts.sent(len(data))
        return True

    def replace(self, name: str, data: bytes | memoryview) -> None:
        """Write an object in the place of any other of this name."""
        self._calls.make("replace", lambda: self._obstore.put(self._store, name, data, use_multipart=False))
        self.counts.sent(len(data))

    def read(self, name: str, most: int) -> ObjectFound | ObjectAbsent | ObjectTooLarge:
        """Read a whole object of at most ``most`` bytes. Fewer bytes than the store announced are a failure."""

        def read() -> ObjectFound | ObjectTooLarge:
            result = self._obstore.get(self._store, name)
            size = result.meta["size"]
            if size > most:
                return ObjectTooLarge(size)
            data = memoryview(result.bytes())
            if len(data) != size:
                raise OSError(f"{len(data)} of {size} bytes arrived")
            return ObjectFound(data, result.meta["e_tag"] or "")

        try:
            found = self._calls.make("read", read)
        except FileNotFoundError:
            return ObjectAbsent()
        if isinstance(found, ObjectFound):
            self.counts.received(len(found.data))
        return found

    def read_front(self, name: str, size: int) -> bytes | None:
        """Read an object's first ``size`` bytes, or all of a shorter one; None where there is none."""
        try:
            front = self._calls.make(
                "read", lambda: self._obstore.get_range(self._store, name, start=0, end=size)
            )
        except FileNotFoundError:
            return None
        self.counts.received(len(front))
        return bytes(front)

    def names(self, prefix: str) -> Iterator[str]:
        """Yield the names of all objects below a prefix that ends in a slash. Raises ObjectsUnavailable on the way."""
        listing = iter(self._obstore.list(self._store, prefix, chunk_size=1000))
        while (some := self._calls.make("list", lambda: next(listing, None), attempts=1)) is not None:
            for meta in some:
                yield meta["path"]

    def delete(self, names: Sequence[str]) -> None:
        """Delete objects; names of none are passed over."""

        def delete() -> None:
            for name in names if self._folder is not None else ():
                (self._folder_path / name).unlink(missing_ok=True)
            if self._folder is None:
                self._obstore.delete(self._store, list(names))

        if names:
            try:
                self._calls.make("delete", delete)
            except FileNotFoundError:
                for name in names if len(names) > 1 else ():
                    self.delete([name])

    def swap(self, name: str, data: bytes, expected: str | None) -> Swapped | SwapConflict:
        """Write a mutable object if its etag is ``expected`` (None: if there is none), in one step.

        Where an attempt's answer was lost, the state itself says whether it counted.
        Example: ``store.swap("manifests/current.json", data, expected=found.etag)``
        """
        tries = 0

        def put() -> str:
            nonlocal tries
            tries += 1
            if self._folder is not None and expected is not None:
                return self._swap_file(name, data, expected)
            mode: Any = "create" if expected is None else {"e_tag": expected}
            return self._obstore.put(self._store, name, data, mode=mode)["e_tag"] or ""

        try:
            etag = self._calls.make("swap", put)
        except (self._obstore.exceptions.PreconditionError, self._obstore.exceptions.AlreadyExistsError):
            now = self.read(name, max(len(data), 1)) if tries > 1 else ObjectAbsent()
            if isinstance(now, ObjectFound) and now.data == data:
                return Swapped(now.etag)
            return SwapConflict()
        except FileNotFoundError:
            return SwapConflict()
        self.counts.sent(len(data))
        return Swapped(etag)

    def _open(self) -> tuple[AnyStore, Path | None]:
        address, stores = self.address, self._obstore.store
        url = urlsplit(address.url)
        if url.scheme not in SCHEMES:
            known = ", ".join(f"{scheme}://" for scheme in SCHEMES)
            raise SetupError(f"store.objects.url begins with '{url.scheme}://'; known: {known}")
        try:
            if url.scheme == "file":
                folder = Path(unquote(url.path))
                return stores.LocalStore(folder, mkdir=True), folder
            limits: ClientConfig = {
                "timeout": timedelta(seconds=address.timeout_s),
                "connect_timeout": timedelta(seconds=min(address.timeout_s, 5.0)),
                "allow_http": address.options.get("endpoint", "").startswith("http://"),
            }
            # Retries are made here: obstore's own would double the time that a stalled store takes, and hide it.
            none: RetryConfig = {"max_retries": 0, "retry_timeout": timedelta(seconds=address.timeout_s)}
            options: Any = dict(address.options)
            return stores.from_url(
                address.url, config=options, client_options=limits, retry_config=none
            ), None
        except (self._obstore.exceptions.BaseError, OSError, ValueError, TypeError) as e:
            raise SetupError(f"store.objects cannot be opened: {first_line(e)}") from e

    @property
    def _folder_path(self) -> Path:
        assert self._folder is not None
        return self._folder

    def _swap_file(self, name: str, data: bytes, expected: str) -> str:
        """Swap in a folder, which obstore cannot: under a lock that all processes of kvproxy take, on one machine."""
        fd = os.open(self._folder_path / _SWAP_LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            if self._obstore.head(self._store, name)["e_tag"] != expected:
                raise self._obstore.exceptions.PreconditionError(name)
            return self._obstore.put(self._store, name, data, use_multipart=False)["e_tag"] or ""
        finally:
            os.close(fd)


def _obstore() -> Any:
    try:
        import obstore
        import obstore.exceptions
        import obstore.store
    except ImportError as e:
        raise SetupError("store.objects needs obstore; pip install 'kvproxy[objects]'") from e
    return obstore


def _store_errors(errors: Any) -> StoreErrors:
    return StoreErrors(
        answers=(FileNotFoundError, errors.AlreadyExistsError, errors.PreconditionError),
        refusals=(
            *(errors.PermissionDeniedError, errors.UnauthenticatedError, errors.InvalidPathError),
            *(errors.NotSupportedError, NotImplementedError),
        ),
        failures=(errors.BaseError, OSError, ValueError),
    )
