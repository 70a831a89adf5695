"""What is served at a time: models in their versions, with the workers and the audits that belong to them.

A deployment does not change. An upgrade puts another one in its place, and calls in flight end on the one that they
began with.
"""

import asyncio
import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from whybox import v1
from whybox.v1.errors import NotFoundError
from whybox_server.gateway.audits import AuditFiles
from whybox_server.gateway.pools import Backend
from whybox_server.gateway.sizes.served import Served
from whybox_server.monitoring.readiness import Readiness
from whybox_server.validation.checks import quoted
from whybox_server.validation.traffic import Shares, newest_first

_POLL_SECONDS = 0.1


class Deployment:
    """The served models, what answers for them, and which version a request takes that names none.

    Args:
        models: Manifests; no two of one name and version.
        backend: Their worker pools.
        audits: The files of their audits.
        traffic: Weights of versions; a model without any has all requests go to its newest version.
        generator: Draws versions.

    Attributes:
        backend: As given.
        audits: As given.
        calls: Number of calls that hold it.
    """

    def __init__(
        self,
        models: Iterable[v1.Model],
        backend: Backend,
        audits: AuditFiles,
        traffic: Shares | None = None,
        generator: random.Random | None = None,
    ) -> None:
        named: dict[str, dict[str, Served]] = {}
        for model in sorted(models, key=lambda model: model.name):
            named.setdefault(model.name, {})[model.version] = Served.of(model)
        self._served = {
            name: {version: versions[version] for version in newest_first(versions)} for name, versions in named.items()
        }
        self._traffic = traffic or {}
        self._generator = generator or random.Random()  # noqa: S311 (a share of requests is no secret)
        self.backend = backend
        self.audits = audits
        self.calls = 0

    @property
    def models(self) -> list[v1.Model]:
        """The served models, by name, the newest version of each first."""
        return [served.model for versions in self._served.values() for served in versions.values()]

    def versions(self, name: str) -> list[str]:
        """The versions of a served model, the newest first."""
        return list(self._served[name])

    def served(self, model: v1.Model) -> Served:
        """One of the served models, with the lengths of its labels."""
        return self._served[model.name][model.version]

    def model(self, name: str, version: str = "") -> v1.Model:
        """A model; without a version the one that most requests take, the newest of several.

        Raises:
            NotFoundError: There is no such model or version.
        """
        versions = self._versions(name, version)
        if version:
            return versions[version].model
        shares = self._traffic.get(name, {})
        return versions[max(versions, key=lambda each: shares.get(each, 0.0))].model

    def drawn(self, name: str, version: str = "") -> v1.Model:
        """The model that answers a request; without a version one is drawn by the weights.

        Raises:
            NotFoundError: There is no such model or version.
        """
        shares = self._traffic.get(name)
        if version or not shares:
            return self.model(name, version)
        [version] = self._generator.choices(list(shares), list(shares.values()))
        return self.model(name, version)

    def others(self, model: v1.Model) -> list[v1.Model]:
        """The models of other names, by name, each in the version that most requests take."""
        return [self.model(name) for name in self._served if name != model.name]

    def readiness(self) -> Readiness:
        """State of each pool, by model, version and kind."""
        return self.backend.readiness()

    @contextmanager
    def held(self) -> Iterator[None]:
        """For a call: inside the block its workers and files are there."""
        self.calls += 1
        try:
            yield
        finally:
            self.calls -= 1

    async def idle(self) -> None:
        """Waits until no call holds it."""
        while True:
            # First: an answer that is about to be streamed is held from its first part on.
            await asyncio.sleep(_POLL_SECONDS)
            if not self.calls:
                return

    def _versions(self, name: str, version: str) -> dict[str, Served]:
        versions = self._served.get(name)
        if versions is None:
            served = ", ".join(self._served)
            raise NotFoundError(
                f"there is no model {quoted(name)} here; served: {served}", reason="UNKNOWN_MODEL", field="model"
            )
        if version and version not in versions:
            one = len(versions) == 1
            message = (
                f"{name} is served in version{'' if one else 's'} {', '.join(map(repr, versions))}, not"
                f" {quoted(version)}; leave the version out to take {'it' if one else 'one of them'}"
            )
            raise NotFoundError(message, reason="UNKNOWN_VERSION", field="version")
        return versions


@dataclass(frozen=True)
class Choice:
    """What a call has chosen at its start.

    Attributes:
        deployment: Of which it takes workers and files.
        model: That it asks.
    """

    deployment: Deployment
    model: v1.Model
