"""`User`, what a verified token says about its user, and models of your own instead of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeVar, cast, final

from pydantic import TypeAdapter, ValidationError

from better_auth_keys.rights import Organization, organization_of, roles_of
from better_auth_keys.tokens.claims import AccessToken
from better_auth_keys.tokens.dpop import DpopVerifier
from better_auth_keys.tokens.dpop_proof import DpopProof

U = TypeVar("U")


class TokenVerifier(Protocol):
    """What `BetterAuth` needs of a verifier, such as `AccessTokenVerifier`."""

    @property
    def dpop(self) -> DpopVerifier | None:
        """What `verify` checks DPoP proofs with. Proofs are accepted if it has a `base_url`."""
        ...

    async def verify(
        self, token: str, *, proof: DpopProof | None = None, client: str | None = None
    ) -> AccessToken:
        """Verify a token, as `AccessTokenVerifier.verify` does."""
        ...

    async def __aenter__(self) -> object: ...

    async def __aexit__(self, *_: object) -> object: ...


@final
@dataclass(slots=True)
class User:
    """A user, as the claims of a verified token describe them.

    Several issuers can use the same `id`: identify a user by `issuer` and `id` together. They are
    the `identity` of the token, which is the same in session and OAuth tokens. `scopes` is None for
    session tokens, which are not limited. In tests, create one with what matters:
    `User("alice", claims={"role": "admin"})`.
    """

    id: str
    issuer: str = ""
    scopes: frozenset[str] | None = None
    claims: Mapping[str, object] = field(default_factory=dict, repr=False)

    @property
    def name(self) -> str | None:
        """The claim `name`."""
        return _text(self.claims.get("name"))

    @property
    def email(self) -> str | None:
        """The claim `email`. See `email_verified` before you trust it."""
        return _text(self.claims.get("email"))

    @property
    def email_verified(self) -> bool:
        """Whether the claim `emailVerified` is true."""
        return self.claims.get("emailVerified") is True

    @property
    def roles(self) -> frozenset[str]:
        """The roles in the claim `role` of Better Auth's admin plugin."""
        return roles_of(self.claims)

    @property
    def organization(self) -> Organization | None:
        """The active organization: Neon's claim `o`, or `activeOrganizationId`."""
        return organization_of(self.claims)


def user_of(token: AccessToken) -> User:
    """Return the user that a verified token describes."""
    return User(token.subject, token.authority or token.issuer, token.scopes, token.claims)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


class UnfitClaimsError(Exception):
    """The claims of a valid token do not fit the user model. The message has no values."""


def maker_of(model: type[U]) -> Callable[[AccessToken], U]:
    """Return a function that creates a `model` of a token.

    Pydantic creates any model but `User` from the claims. The function raises `UnfitClaimsError`.
    """
    if model is User:
        return cast("Callable[[AccessToken], U]", user_of)  # U is User here
    adapter = TypeAdapter(model)

    def from_claims(token: AccessToken) -> U:
        try:
            return adapter.validate_python(dict(token.claims))
        except ValidationError as error:
            details = error.errors(include_url=False, include_context=False, include_input=False)
            problems = (f"{'.'.join(map(str, each['loc']))}: {each['type']}" for each in details)
            message = f"the claims do not fit {model.__name__} ({', '.join(problems)})"
            raise UnfitClaimsError(message) from None

    return from_claims
