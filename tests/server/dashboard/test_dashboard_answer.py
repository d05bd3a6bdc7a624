"""Headers of views, static files, and the result of an action that the next view tells."""

from __future__ import annotations

import gzip
import re

from kvproxy.dashboard.static_files import FOLDER
from kvproxy.server.dashboard.dashboard_headers import POLICY
from tests.server.dashboard.browsing import ACCEPT, browsing
from tests.server.doubles import make_proxy

KEY = "key-0123456789abcdef"
KEYS = (("alice", KEY),)


async def test_every_answer_has_the_policy_and_is_kept_by_nobody() -> None:
    async with browsing(make_proxy(api_keys=KEYS)) as browser:
        pages = [
            await browser.get("/ui/login"),
            await browser.post("/ui/logout", {}),
            await browser.log_in("x"),
        ]
        pages += [await browser.log_in(KEY)]
        pages += [await browser.get(path) for path in ("/ui/overview", "/ui/requests", "/ui/nothing")]
        for page in pages:
            headers = page.answer.headers
            assert headers["Content-Security-Policy"] == POLICY and headers["Cache-Control"] == "no-store"
            assert (
                headers["X-Content-Type-Options"] == "nosniff" and headers["Referrer-Policy"] == "same-origin"
            )
            assert headers["X-Frame-Options"] == "DENY" and page.answer.content_type == "text/html"
            assert page.text.startswith("<!doctype html>") and '<html lang="en">' in page.text


async def test_every_file_that_a_view_names_is_there_for_ever() -> None:
    async with browsing(make_proxy(api_keys=KEYS)) as browser:
        page = await browser.get("/ui/login")
        paths = set(re.findall(r'(?:src|href)="(/ui/static/[^"]+)"', page.text))
        assert len(paths) == 6
        for path in paths:
            answer = await browser.http.get(path, headers={"Accept-Encoding": "identity"})
            assert answer.status == 200 and "immutable" in answer.headers["Cache-Control"]
            assert await answer.read() == (FOLDER / path.rpartition("/")[2]).read_bytes()


async def test_a_file_is_compressed_where_that_is_understood() -> None:
    async with browsing(make_proxy()) as browser:
        browser.http.session._auto_decompress = False
        path = "/ui/static/of-an-earlier-version/kvproxy.js"
        answer = await browser.http.get(path, headers={"Accept-Encoding": "br, gzip"})
        assert answer.headers["Content-Encoding"] == "gzip" and answer.headers["Cache-Control"] == "no-cache"
        assert gzip.decompress(await answer.read()) == (FOLDER / "kvproxy.js").read_bytes()


async def test_no_other_file_is_served() -> None:
    async with browsing(make_proxy()) as browser:
        for name in ("vendored.json", "htmx.LICENSE.txt", "..%2f__init__.py", "%2e%2e/templates/layout.html"):
            assert (await browser.get(f"/ui/static/x/{name}")).status == 404


async def test_the_result_of_an_action_is_told_once_and_only_if_sealed_here() -> None:
    async with browsing(make_proxy(api_keys=KEYS)) as browser:
        token = (await browser.log_in(KEY)).token
        assert "Logged out." in (await browser.post("/ui/logout", {"csrf": token})).words
        assert "Logged out." not in (await browser.get("/ui/login")).words
        forged = await browser.get("/ui/login", headers={"Cookie": "kvproxy_notice=Send+your+key+to+evil"})
        assert forged.status == 200 and "evil" not in forged.text


async def test_htmx_is_sent_to_the_view_and_gets_errors_as_a_part() -> None:
    async with browsing(make_proxy(api_keys=KEYS)) as browser:
        token = (await browser.log_in(KEY)).token
        htmx = ACCEPT | {"HX-Request": "true"}
        refused = await browser.http.post("/ui/logout", headers=htmx)
        assert refused.status == 403 and (await refused.text()).startswith('<div class="problem"')
        done = await browser.http.post("/ui/logout", headers=htmx | {"X-CSRF-Token": token})
        assert (done.status, done.headers["HX-Redirect"]) == (204, "/ui/login")
