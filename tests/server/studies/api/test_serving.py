"""What studies add to a server, and what keeps it from starting."""

from pathlib import Path

import httpx
import pytest

from server.conftest import LIMITS, MAX_IMAGE_BYTES, FakeGateway
from studying import protocol, write
from whybox_server.access.checking import Access
from whybox_server.access.keys import KeyFile, Scope, utc_now
from whybox_server.database.engine import create_engine
from whybox_server.database.errors import DatabaseError
from whybox_server.monitoring.metrics import Metrics
from whybox_server.rest import create_app
from whybox_server.studies.api.serving import beside
from whybox_server.studies.store import StudyStore


@pytest.mark.parametrize(
    ("public", "links"),
    [
        ("", "http://127.0.0.1:8123/studies/dogs?invitation="),
        ("https://studies.example.org", "https://studies.example.org/studies/dogs?invitation="),
        ("https://x.org/whybox/", "https://x.org/whybox/studies/dogs?invitation="),
    ],
)
async def test_links_lead_to_where_people_reach_the_pages(
    database_url: str,
    key_file: KeyFile,
    tmp_path: Path,
    gateway: FakeGateway,
    metrics: Metrics,
    public: str,
    links: str,
) -> None:
    _, secret = key_file.add("a", [Scope.ADMIN], now=utc_now())
    async with beside(database_url, public, **LIMITS) as studies:
        studies.listens("http://127.0.0.1:8123")
        assert [service.name for service in studies.services] == ["whybox.v1.StudyService"]
        engine = create_engine(database_url)
        await StudyStore(engine).open(protocol(), write(protocol(), tmp_path / "dogs"))
        await engine.dispose()
        app = create_app(
            gateway,
            metrics,
            access=Access(key_file.path),
            max_image_bytes=MAX_IMAGE_BYTES,
            mounts=studies.routes,
            described=(studies.described,),
            **LIMITS,
        )
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://whybox") as http:
            headers = {"Authorization": f"Bearer {secret}", "Host": "evil.example.org"}
            answer = (await http.post("/v1/studies/dogs/invitations", headers=headers)).json()
            assert answer["links"][0].startswith(links)
            # The pages are there too.
            page = await http.get(answer["links"][0][answer["links"][0].index("/studies/dogs") :])
            assert page.status_code != 404


async def test_an_unknown_database_keeps_a_server_from_starting() -> None:
    with pytest.raises(DatabaseError, match="not supported"):
        async with beside("mysql://x/y", "", **LIMITS):
            pass
