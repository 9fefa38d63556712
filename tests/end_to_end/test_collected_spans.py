"""Traces from web/ through the service to its statements, as a collector receives them."""

import pytest

from tests.end_to_end.accounts import Someone
from tests.end_to_end.conftest import Stack
from tests.scripts.waiting import eventually
from tests.simulators.collector import Collector, Span

pytestmark = pytest.mark.slow

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
OTHER_TRACE = "1bf7651916cd43dd8448eb211c80319c"
LINK_TOKEN = "token-of-a-link-in-a-mail"
EXPORT_SECONDS = 60
"""Both SDKs export every 5 s."""
WEB_ATTRIBUTES = {
    "http.method",
    "http.request.method",
    "http.status_code",
    "http.response.status_code",
    "http.route",
    "next.route",
    "next.span_type",
    "better_auth.operation_id",
    "better_auth.hook.type",
    "db.operation.name",
    "db.collection.name",
    "error.type",
}


def spans_of(collector: Collector, trace: str) -> list[Span]:
    return [span for span in collector.spans if span.trace_id == trace]


def test_deletion_of_an_account_is_one_trace_from_web_to_the_statement(
    stack: Stack, collector: Collector
) -> None:
    someone = Someone(stack)
    sent = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
    answer = someone.send(
        "POST", f"{someone.web}/delete-user", someone.signed, json={}, headers=sent
    )
    assert answer.status_code == 200
    name = "DELETE /api/auth/me"

    def exported() -> bool:
        kinds = {span.kind for span in spans_of(collector, TRACE) if span.name == name}
        roots = [span for span in spans_of(collector, TRACE) if span.parent_id == PARENT]
        return bool(roots) and kinds == {"CLIENT", "SERVER"}

    assert eventually(exported, within=EXPORT_SECONDS), spans_of(collector, TRACE)
    spans = spans_of(collector, TRACE)
    (call,) = [span for span in spans if (span.name, span.kind) == (name, "CLIENT")]
    (request,) = [span for span in spans if (span.name, span.kind) == (name, "SERVER")]
    assert request.parent_id == call.span_id
    statements = [span for span in spans if span.parent_id == request.span_id]
    assert {span.attributes["db.system.name"] for span in statements} == {"postgresql"}
    # Every span of web/ above the call leads to the request that the client sent.
    parents = {span.span_id: span.parent_id for span in spans}
    above = call.span_id
    while above in parents:
        above = parents[above]
    assert above == PARENT
    names = {resource["service.name"] for resource in collector.resources}
    assert names == {"better-auth-web", "better-auth-resource-server"}


def test_spans_have_no_tokens_of_links_and_only_known_attributes(
    stack: Stack, collector: Collector
) -> None:
    someone = Someone(stack)
    sent = {"traceparent": f"00-{OTHER_TRACE}-{PARENT}-01", "tracestate": f"vendor={LINK_TOKEN}"}
    for path in (
        f"/verify-email?token={LINK_TOKEN}",
        f"/reset-password/{LINK_TOKEN}?callbackURL=/{LINK_TOKEN}",
        f"/{LINK_TOKEN}",
    ):
        someone.send("GET", f"{someone.web}{path}", headers=sent)
    someone.send("GET", f"{stack.web}/{LINK_TOKEN}?token={LINK_TOKEN}", headers=sent)

    def exported() -> bool:
        names = {span.name for span in spans_of(collector, OTHER_TRACE)}
        return {"verifyEmail", "resetPasswordCallback", "GET /_not-found"} <= names

    assert eventually(exported, within=EXPORT_SECONDS), spans_of(collector, OTHER_TRACE)
    spans = spans_of(collector, OTHER_TRACE)
    assert {name for span in spans for name in span.attributes} <= WEB_ATTRIBUTES
    for span in collector.spans:
        for secret in (LINK_TOKEN, someone.email, someone.signed, stack.web):
            assert secret not in span.text
