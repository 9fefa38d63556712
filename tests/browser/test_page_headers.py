"""The headers of the production build: what a page may load, and who may show it."""

import re

import httpx
import pytest
from playwright.async_api import expect

from scripts.proofs.compose.visitors import client
from scripts.proofs.web_app.stack import WebStack
from tests.browser.conftest import NewAccount, Visitor

pytestmark = pytest.mark.slow

HTML = ("/", "/sign-in", "/sign-up", "/reset-password", "/verify-email?error=X", "/no/such/page")
EVERYWHERE = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Strict-Transport-Security": "max-age=31536000",
    "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(),"
    " payment=(), usb=()",
}


def policy(answer: httpx.Response) -> dict[str, str]:
    """Return the directives of the Content-Security-Policy."""
    parts = answer.headers["Content-Security-Policy"].split("; ")
    return dict(part.split(" ", 1) for part in parts)


async def test_every_response_has_the_headers(web_stack: WebStack) -> None:
    async with client(web_stack.authority) as http:
        home = await http.get(web_stack.app_origin)
        files = re.findall(r'(?:src|href)="(/_next/static/[^"]+)"', home.text)
        assert {file.rpartition(".")[2] for file in files} >= {"js", "css"}
        for path in (*HTML, *files, "/api/auth/jwks", "/api/auth/no-such-endpoint"):
            answer = await http.get(f"{web_stack.app_origin}{path}")
            assert {name: answer.headers.get(name) for name in EVERYWHERE} == EVERYWHERE, path
            assert "X-Powered-By" not in answer.headers
            allowed = policy(answer)
            assert allowed["frame-ancestors"] == "'none'"
            assert allowed["default-src"] == "'none'"
            assert allowed["connect-src"] == f"'self' {web_stack.api_origin}"


async def test_scripts_have_the_nonce_of_their_response_alone(
    web_stack: WebStack, new_account: NewAccount
) -> None:
    ada = await new_account()
    cookies = {"Cookie": "; ".join(f"{name}={value}" for name, value in ada.cookies().items())}
    nonces = set()
    none: dict[str, str] = {}
    pages = [*((path, none) for path in HTML), ("/", cookies), ("/account", cookies)]
    for path, headers in pages:
        answer = await ada.http.get(f"{web_stack.app_origin}{path}", headers=headers)
        assert answer.status_code == (404 if path.startswith("/no") else 200)
        allowed = policy(answer)
        found = re.fullmatch(r"'nonce-([\w-]{20,})' 'strict-dynamic'", allowed["script-src"])
        assert found is not None, path
        assert allowed["style-src"] == f"'self' 'nonce-{found[1]}'"
        scripts = re.findall(r"<script\b[^>]*>", answer.text)
        assert len(scripts) > 3
        assert [tag for tag in scripts if f'nonce="{found[1]}"' not in tag] == [], path
        assert "<style" not in answer.text
        assert not re.search(r'<[^>]+ style="', answer.text), path
        assert not re.search(r'<[^>]+ on\w+="', answer.text), path
        nonces.add(found[1])
    assert len(nonces) == len(pages)


async def test_plain_http_gets_no_hsts(web_stack: WebStack) -> None:
    port = web_stack.web.command[-1]
    async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
        answer = await http.get(f"http://127.0.0.1:{port}/sign-in")
        assert answer.status_code == 200
        assert "Strict-Transport-Security" not in answer.headers
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        name = web_stack.app_origin.removeprefix("https://")
        answer = await http.get(f"http://127.0.0.1:{port}/sign-in", headers={"Host": name})
        assert (answer.status_code, answer.headers["Location"]) == (
            308,
            f"{web_stack.app_origin}/sign-in",
        )
        assert "Strict-Transport-Security" not in answer.headers


async def test_injected_script_does_not_run_and_sends_nothing_away(visit: Visitor) -> None:
    device = await visit()
    page = await device.open("/sign-in")
    await expect(page.get_by_role("button", name="Sign in")).to_be_visible()
    device.watch.allow("Content Security Policy", "status of 404")
    # As a hole in the page would add it.
    await page.evaluate("""() => {
        window.ran = [];
        document.body.insertAdjacentHTML("beforeend", `
          <img src="/nothing" onerror="ran.push(1)">
          <iframe srcdoc="<p>framed"></iframe>
          <a id="script" href="javascript:ran.push(2)">x</a>
          <form id="away" action="https://third.localhost:1/" method="post"></form>`);
        document.getElementById("script").click();
        document.getElementById("away").submit();
    }""")
    assert (
        await page.evaluate(
            "() => fetch('https://third.localhost:1/').then(() => 'sent', () => 'refused')"
        )
        == "refused"
    )
    assert await page.evaluate("() => window.ran") == []
    assert page.url == f"{device.stack.app_origin}/sign-in"
