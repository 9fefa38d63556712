"""Request and response bodies of the account API."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictStr, StringConstraints

_NoControls = r"^[^\x00-\x1f\x7f]*$"
Name = Annotated[
    StrictStr,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=100, pattern=_NoControls),
]
Email = Annotated[StrictStr, StringConstraints(min_length=3, max_length=254, pattern=_NoControls)]
# Better Auth has its own rules for passwords; this only bounds what is sent to it.
Password = Annotated[StrictStr, StringConstraints(min_length=1, max_length=1024)]
RefreshToken = Annotated[
    StrictStr, StringConstraints(min_length=1, max_length=512, pattern=r"^[!-~]+$")
]


class Me(BaseModel):
    """The current user, from the claims of the access token. A missing claim is null."""

    id: str = Field(
        examples=["Jb2Xv0fXzq3mTq9n4rPZkQ0aV1sD7uYw"],
        description="The user's id: the token's subject (`sub`).",
    )
    issuer: str = Field(
        examples=["https://app.example.com"], description="The issuer of the token (`iss`)."
    )
    name: str | None = Field(examples=["Ada"])
    email: str | None = Field(examples=["ada@example.com"])
    email_verified: bool | None
    expires_at: int = Field(
        examples=[1_900_000_000], description="When the token expires, in Unix seconds."
    )


class _Body(BaseModel):
    # Errors never repeat the input, which contains passwords.
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class Registration(_Body):
    """The account to create."""

    name: Name = Field(examples=["Ada"])
    email: Email = Field(examples=["ada@example.com"])
    password: Password = Field(examples=["correct horse battery"])


class Login(_Body):
    """The e-mail address and password of an account."""

    email: Email = Field(examples=["ada@example.com"])
    password: Password = Field(examples=["correct horse battery"])


class Refresh(_Body):
    """The refresh token that a sign-in returned."""

    refresh_token: RefreshToken


class Logout(_Body):
    """The session to end. Optional if an access token is sent."""

    refresh_token: RefreshToken | None = None


class Account(BaseModel):
    """An account at Better Auth."""

    id: str
    name: str
    email: str
    email_verified: bool


class AccessTokenAnswer(BaseModel):
    """An access token (RFC 6749 section 5.1)."""

    access_token: str = Field(
        description="A JWT from Better Auth. Send it as `Authorization: Bearer <token>`."
    )
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - RFC 6750's word, not a password
    expires_in: int = Field(description="The lifetime of the access token in seconds.")


class Session(AccessTokenAnswer):
    """A signed-in session: an access token, and the refresh token to get the next one."""

    refresh_token: str = Field(
        description="Send it to refresh and logout only. Keep it secret: it stands for the session."
    )
    user: Account


class Registered(BaseModel):
    """A new account whose e-mail address must be verified before signing in."""

    user: Account
