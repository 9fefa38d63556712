import pytest

from better_auth_keys import Organization, allows_scope, is_banned, organization_of, roles_of


@pytest.mark.parametrize(
    ("scopes", "allowed"),
    [(None, True), (frozenset({"a", "b"}), True), (frozenset({"b"}), False), (frozenset(), False)],
)
def test_token_without_a_scope_claim_is_not_limited(
    scopes: frozenset[str] | None, *, allowed: bool
) -> None:
    assert allows_scope(scopes, "a") is allowed


@pytest.mark.parametrize(
    ("role", "roles"),
    [
        ("user", {"user"}),
        ("user, admin", {"user", "admin"}),
        (["owner", "a,b", 7], {"owner", "a", "b"}),
        ("", set()),
        (None, set()),
        (["admin", None], {"admin"}),
        ({"admin": True}, set()),
    ],
)
def test_roles_are_texts_separated_by_commas(role: object, roles: set[str]) -> None:
    assert roles_of({"role": role}) == roles


@pytest.mark.parametrize(
    ("claims", "organization"),
    [
        ({}, None),
        ({"activeOrganizationId": None}, None),
        ({"activeOrganizationId": "org-1"}, Organization("org-1")),
        (
            {"o": {"id": "org-2", "slug": "acme", "role": "owner"}, "activeOrganizationId": "x"},
            Organization("org-2", "acme", frozenset({"owner"})),
        ),
        ({"o": {"id": "org-2", "slug": 7}}, Organization("org-2")),
        ({"o": {"id": ""}}, None),
        ({"o": "org-2"}, None),
    ],
)
def test_active_organization_is_read_in_both_forms(
    claims: dict[str, object], organization: Organization | None
) -> None:
    assert organization_of(claims) == organization


@pytest.mark.parametrize(("banned", "refused"), [(True, True), (False, False), (None, False)])
def test_claim_banned_is_read(*, banned: bool | None, refused: bool) -> None:
    assert is_banned({"banned": banned}) is refused
    assert not is_banned({})
