"""Accounts as clients see them."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictStr, StringConstraints

_NoControls = r"^[^\x00-\x1f\x7f]*$"
Name = Annotated[
    StrictStr,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=100, pattern=_NoControls),
]
Email = Annotated[StrictStr, StringConstraints(min_length=3, max_length=254, pattern=_NoControls)]
# Better Auth says how long a password is to be; here it is only kept from being a burden.
Password = Annotated[StrictStr, StringConstraints(min_length=1, max_length=1024)]
RefreshToken = Annotated[
    StrictStr, StringConstraints(min_length=1, max_length=512, pattern=r"^[!-~]+$")
]


class Me(BaseModel):
    """Who the token says the caller is. What it does not say is null."""

    id: str = Field(examples=["Jb2Xv0fXzq3mTq9n4rPZkQ0aV1sD7uYw"], description="The subject.")
    issuer: str = Field(examples=["https://app.example.com"])
    name: str | None = Field(examples=["Ada"])
    email: str | None = Field(examples=["ada@example.com"])
    email_verified: bool | None
    expires_at: int = Field(examples=[1_900_000_000], description="Unix seconds.")


class _Body(BaseModel):
    # What was sent is never shown again: there are passwords in it.
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class Registration(_Body):
    """A new account."""

    name: Name = Field(examples=["Ada"])
    email: Email = Field(examples=["ada@example.com"])
    password: Password = Field(examples=["correct horse battery"])


class Login(_Body):
    """An account's e-mail address and password."""

    email: Email = Field(examples=["ada@example.com"])
    password: Password = Field(examples=["correct horse battery"])


class Refresh(_Body):
    """The refresh token of a login."""

    refresh_token: RefreshToken


class Logout(_Body):
    """The session to end, for clients that have its refresh token."""

    refresh_token: RefreshToken | None = None


class Account(BaseModel):
    """The account of a session."""

    id: str
    name: str
    email: str
    email_verified: bool


class AccessTokenAnswer(BaseModel):
    """An access token (RFC 6749 section 5.1)."""

    access_token: str = Field(description="A JWT of Better Auth; send it as Bearer.")
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - no password, but RFC 6750's word
    expires_in: int = Field(description="Seconds.")


class Session(AccessTokenAnswer):
    """An access token, and what gets the next one."""

    refresh_token: str = Field(description="Good for this only; keep it secret.")
    user: Account


class Registered(BaseModel):
    """An account that can be used once its e-mail address has been verified."""

    user: Account
