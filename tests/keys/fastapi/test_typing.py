"""Types as a user's type checker infers them, without a cast or an annotation of theirs."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import assert_type

import pytest
from pydantic import BaseModel
from starlette.requests import HTTPConnection

import better_auth_keys
from better_auth_keys import AccessTokenVerifier
from better_auth_keys.fastapi import BetterAuth, CurrentUser, OptionalUser, User
from scripts.setup.checkout import PYRIGHT, VENV
from scripts.setup.node_runtime import find_node

LIBRARY = Path(better_auth_keys.__file__).parents[1]
SAMPLE = """
from typing import Annotated

from fastapi import Depends, FastAPI
from pydantic import BaseModel

from better_auth_keys import DpopVerifier
from better_auth_keys.fastapi import AuthError, BetterAuth, User


class Mine(BaseModel):
    sub: str


auth = BetterAuth("https://app.example.com")
own = BetterAuth("https://app.example.com", user=Mine, audience="https://api.example.com")
API = "https://api.example.com"
bound = BetterAuth("https://app.example.com", oauth=True, dpop=DpopVerifier(base_url=API))
neon = BetterAuth.neon("https://ep-1.neonauth.example.com/neondb/auth", user=Mine)
app = FastAPI(lifespan=auth.lifespan)
app.include_router(auth.metadata_router("https://api.example.com"))
app.dependency_overrides[auth.user] = lambda: User("alice", claims={"role": "admin"})


@app.get("/me")
async def me(user: Annotated[User, Depends(auth.user)]) -> str | None:
    reveal_type(user.organization)
    return user.name


@app.get("/mine")
async def mine(user: Mine = Depends(own.require_role("admin"))) -> str:
    return user.sub


reveal_type(auth)
reveal_type(own)
reveal_type(neon)
reveal_type(own.user)
reveal_type(own.optional_user)

def code_of(error: AuthError) -> str:
    return error.code


BetterAuth("https://app.example.com", user="Mine")
auth.require(1)
User("alice").role
"""
REVEALED = [
    "better_auth_keys.rights.Organization | None",
    "better_auth_keys.fastapi.better_auth.BetterAuth[better_auth_keys.fastapi.user.User]",
    "better_auth_keys.fastapi.better_auth.BetterAuth[sample.Mine]",
    "better_auth_keys.fastapi.better_auth.BetterAuth[sample.Mine]",
    "better_auth_keys.fastapi.dependencies.CurrentUser[sample.Mine]",
    "better_auth_keys.fastapi.dependencies.OptionalUser[sample.Mine]",
]


class Mine(BaseModel):
    sub: str


def test_types_are_those_of_the_model(verifier: AccessTokenVerifier) -> None:
    auth, own = BetterAuth(verifier), BetterAuth(verifier, user=Mine)
    assert_type(auth, BetterAuth[User])
    assert_type(own, BetterAuth[Mine])
    assert_type(auth.user, CurrentUser[User])
    assert_type(own.optional_user, OptionalUser[Mine])
    assert_type(own.require("a"), Callable[[HTTPConnection, Mine], Awaitable[Mine]])


@pytest.mark.slow
def test_code_of_a_user_is_clean_under_mypy_strict(tmp_path: Path) -> None:
    (tmp_path / "sample.py").write_text(SAMPLE)
    mypy = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "sample.py"]
    done = subprocess.run(
        mypy,
        cwd=tmp_path,
        env={"MYPYPATH": str(LIBRARY)},
        capture_output=True,
        text=True,
        check=False,
    )
    lines = done.stdout.splitlines()
    revealed = [line.split('"')[1] for line in lines if "note: Revealed type is" in line]
    assert revealed == REVEALED
    errors = [line.rpartition("[")[2].rstrip("]") for line in lines if ": error: " in line]
    assert errors == ["call-overload", "arg-type", "attr-defined"], done.stdout


@pytest.mark.slow
def test_code_of_a_user_is_clean_under_pyright_strict(tmp_path: Path) -> None:
    node = find_node(VENV)
    program = PYRIGHT / "node_modules" / "pyright" / "index.js"
    assert node is not None, "run ./scripts/test once, which installs Node"
    assert program.is_file(), "run ./scripts/test once, which installs pyright"
    (tmp_path / "sample.py").write_text(SAMPLE)
    settings = {"typeCheckingMode": "strict", "extraPaths": [str(LIBRARY)]}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))
    done = subprocess.run(
        [str(node.node), str(program), "--outputjson", "--pythonpath", sys.executable],
        cwd=tmp_path,
        env=node.environment(os.environ),
        capture_output=True,
        text=True,
        check=False,
    )
    found = [
        (each["severity"], each.get("rule") or each["message"].rpartition(" is ")[2].strip('"'))
        for each in json.loads(done.stdout)["generalDiagnostics"]
    ]
    revealed = [said for severity, said in found if severity == "information"]
    # Pyright names the types without their modules.
    assert revealed == [re.sub(r"[\w.]+\.", "", name) for name in REVEALED]
    assert [said for severity, said in found if severity != "information"] == [
        "reportArgumentType",
        "reportArgumentType",
        "reportUnknownMemberType",
        "reportAttributeAccessIssue",
    ]
