"""A FastAPI application as the tutorials of its parts show it: PyJWKClient and SQLAlchemy's ORM.

The owner condition is its only wall. Run as `python -m benchmarks.peers.tutorial`.
"""

import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Final, Literal
from uuid import UUID, uuid4

import jwt  # type: ignore[import-not-found] # installed for the benchmark alone
import uvicorn
from fastapi import Depends, FastAPI, HTTPException, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import DateTime, Select, func, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

ISSUER: Final = os.environ["ISSUER"]
keys = jwt.PyJWKClient(os.environ["JWKS_URL"])
engine = create_async_engine(
    os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+asyncpg://"),
    pool_size=10,
    max_overflow=0,
)
make_session = async_sessionmaker(engine, expire_on_commit=False)
bearer = HTTPBearer()
app = FastAPI()
Sort = Literal["created_at", "-created_at", "updated_at", "-updated_at"]
Moment = DateTime(timezone=True)


class Base(DeclarativeBase):
    """The base of the tables."""


class TaskRow(Base):
    """A row of the table of tasks."""

    __tablename__ = "tasks"

    owner_id: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    title: Mapped[str]
    description: Mapped[str | None]
    completed: Mapped[bool]
    priority: Mapped[int]
    due_at: Mapped[datetime | None] = mapped_column(Moment)
    created_at: Mapped[datetime] = mapped_column(Moment, default=func.now())
    updated_at: Mapped[datetime] = mapped_column(Moment, default=func.now(), onupdate=func.now())
    completed_at: Mapped[datetime | None] = mapped_column(Moment)
    version: Mapped[int] = mapped_column(default=1)
    deleted_at: Mapped[datetime | None] = mapped_column(Moment)

    __mapper_args__ = {"eager_defaults": True}  # noqa: RUF012 - SQLAlchemy's own way


class TaskBase(BaseModel):
    """What a client sends."""

    title: str = Field(min_length=1, max_length=200)
    description: str | None = Field(default=None, max_length=10_000)
    completed: bool = False
    priority: int = Field(default=0, ge=0, le=3)
    due_at: datetime | None = None


class TaskChange(TaskBase):
    """The members to change."""

    title: str = Field(default="", min_length=1, max_length=200)


class Task(TaskBase):
    """What a client gets."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    created_at: datetime
    updated_at: datetime
    completed_at: datetime | None
    version: int


class Page(BaseModel):
    """A page of tasks."""

    items: list[Task]
    next_cursor: str | None


async def current_user(
    credentials: Annotated[HTTPAuthorizationCredentials, Depends(bearer)],
) -> str:
    """Return the subject of the access token."""
    try:
        key = keys.get_signing_key_from_jwt(credentials.credentials)
        claims = jwt.decode(
            credentials.credentials, key, algorithms=["EdDSA"], audience=ISSUER, issuer=ISSUER
        )
    except jwt.PyJWTError as error:
        raise HTTPException(HTTPStatus.UNAUTHORIZED, "Invalid token") from error
    return str(claims["sub"])


async def session() -> AsyncIterator[AsyncSession]:
    """Open the session of a request."""
    async with make_session() as opened:
        yield opened


Owner = Annotated[str, Depends(current_user)]
Session = Annotated[AsyncSession, Depends(session)]


def _one(owner: str, task_id: UUID) -> Select[TaskRow]:
    return select(TaskRow).where(TaskRow.owner_id == owner, TaskRow.id == task_id)


async def _live(database: AsyncSession, owner: str, task_id: UUID) -> TaskRow:
    row = await database.scalar(_one(owner, task_id).where(TaskRow.deleted_at.is_(None)))
    if row is None:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    return row


@app.get("/api/tasks", response_model=Page)
async def list_tasks(  # noqa: PLR0913, PLR0917 - a parameter of the query each
    owner: Owner,
    database: Session,
    limit: int = 50,
    sort: Sort = "-created_at",
    completed: bool | None = None,  # noqa: FBT001 - as FastAPI declares a parameter
    priority: int | None = None,
) -> dict[str, object]:
    """List the owner's tasks."""
    column = TaskRow.created_at if "created_at" in sort else TaskRow.updated_at
    order = (column.desc(), TaskRow.id.desc()) if sort.startswith("-") else (column, TaskRow.id)
    query = select(TaskRow).where(TaskRow.owner_id == owner, TaskRow.deleted_at.is_(None))
    if completed is not None:
        query = query.where(TaskRow.completed == completed)
    if priority is not None:
        query = query.where(TaskRow.priority == priority)
    rows = (await database.scalars(query.order_by(*order).limit(limit + 1))).all()
    more = len(rows) > limit
    return {"items": rows[:limit], "next_cursor": str(rows[limit - 1].id) if more else None}


@app.get("/api/tasks/{task_id}", response_model=Task)
async def get_task(owner: Owner, database: Session, task_id: UUID) -> TaskRow:
    """Return a task."""
    return await _live(database, owner, task_id)


@app.post("/api/tasks", response_model=Task, status_code=HTTPStatus.CREATED)
async def create_task(owner: Owner, database: Session, body: TaskBase) -> TaskRow:
    """Add a task."""
    row = TaskRow(owner_id=owner, **body.model_dump())
    row.completed_at = datetime.now(UTC) if body.completed else None
    database.add(row)
    await database.commit()
    return row


async def _change(database: AsyncSession, row: TaskRow, changes: dict[str, object]) -> TaskRow:
    for name, value in changes.items():
        setattr(row, name, value)
    if "completed" in changes:
        row.completed_at = (row.completed_at or datetime.now(UTC)) if row.completed else None
    row.version += 1
    await database.commit()
    return row


@app.put("/api/tasks/{task_id}", response_model=Task)
async def replace_task(owner: Owner, database: Session, task_id: UUID, body: TaskBase) -> TaskRow:
    """Replace a task."""
    return await _change(database, await _live(database, owner, task_id), body.model_dump())


@app.patch("/api/tasks/{task_id}", response_model=Task)
async def change_task(owner: Owner, database: Session, task_id: UUID, body: TaskChange) -> TaskRow:
    """Change parts of a task."""
    changes = body.model_dump(exclude_unset=True)
    return await _change(database, await _live(database, owner, task_id), changes)


@app.delete("/api/tasks/{task_id}", status_code=HTTPStatus.NO_CONTENT)
async def delete_task(owner: Owner, database: Session, task_id: UUID) -> Response:
    """Delete a task."""
    await _change(
        database, await _live(database, owner, task_id), {"deleted_at": datetime.now(UTC)}
    )
    return Response(status_code=HTTPStatus.NO_CONTENT)


@app.post("/api/tasks/{task_id}/restore", response_model=Task)
async def restore_task(owner: Owner, database: Session, task_id: UUID) -> TaskRow:
    """Restore a deleted task."""
    row = await database.scalar(_one(owner, task_id))
    if row is None:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    return await _change(database, row, {"deleted_at": None})


if __name__ == "__main__":
    uvicorn.run(app, port=int(os.environ["PORT"]), access_log=False, log_level="warning")
