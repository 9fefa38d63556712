"""Accounts as clients see them."""

from pydantic import BaseModel, Field


class Me(BaseModel):
    """Who the token says the caller is. What it does not say is null."""

    id: str = Field(examples=["Jb2Xv0fXzq3mTq9n4rPZkQ0aV1sD7uYw"], description="The subject.")
    issuer: str = Field(examples=["https://app.example.com"])
    name: str | None = Field(examples=["Ada"])
    email: str | None = Field(examples=["ada@example.com"])
    email_verified: bool | None
    expires_at: int = Field(examples=[1_900_000_000], description="Unix seconds.")
