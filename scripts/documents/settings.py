"""Write docs/settings.md and .env.example from the code.

    python -m scripts.documents.settings

A description is the docstring below the field of a settings model. Settings that only
docker-compose.yml has are described at its top. A test fails if a document is out of date.
Exit code: 0 done.
"""

import re
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

from scripts.devstack.mint_token import MintSettings
from scripts.devstack.settings import ISSUER_DEFAULTS, StackSettings
from scripts.operations.migrate import MigrateSettings
from scripts.operations.purge import PurgeSettings
from scripts.operations.revoke_tokens import RevokeSettings
from scripts.operations.rotate_keys.settings import RotationSettings
from scripts.setup.checkout import CHECKOUT, WEB
from service.settings.base import SettingsModel, shown
from service.settings.model import Settings
from service.settings.renamed import RENAMED

DOCUMENT: Final = CHECKOUT / "docs" / "settings.md"
EXAMPLE: Final = CHECKOUT / ".env.example"
COMPOSE: Final = CHECKOUT / "docker-compose.yml"
MODELS: Final[Mapping[str, type[SettingsModel]]] = {
    "service": Settings,
    "`rotate-keys`": RotationSettings,
    "`migrate`": MigrateSettings,
    "`purge`": PurgeSettings,
    "`revoke-tokens`": RevokeSettings,
    "`mint-token`": MintSettings,
    "`./scripts/dev`": StackSettings,
}
_WIDTH: Final = 100
_SERVICE: Final = "The service"
_OPERATORS: Final = "Operators' commands"
_WEB: Final = "web/"
_STACKS: Final = "./scripts/dev and docker-compose.yml"
_INTRODUCTION: Final = """\
# Settings

<!-- Written by python -m scripts.documents.settings; change the code instead. -->

The service, the operators' commands and `./scripts/dev` read their settings from the environment or
from `.env`; the environment wins. `web/` reads only its environment, which `./scripts/dev` and
`docker-compose.yml` set up. `check-config` reads the service's settings, shows where each value
comes from, and checks that it works.

- An empty value means that the setting is not set. Whitespace around a value is removed.
- `NAME_FILE` names a file that contains the value of `NAME`, such as a secret mounted into a
  container: UTF-8, at most 64 KiB. Setting both `NAME` and `NAME_FILE` is an error.
- Durations are a number and a unit: `90s`, `15m`, `12h`, `30d`.
- All errors are reported together at start, without the values.
"""
_EXAMPLE_INTRODUCTION: Final = """\
# Copy this file to .env and set what you need. The environment wins; an empty value is not set.
# ./scripts/dev needs no settings. docs/settings.md has the rules, and says what reads each setting.
# Written by python -m scripts.documents.settings; change the code instead.
"""
_STACKS_NOTE: Final = """\
# docker compose passes on the settings above and does not read NAME_FILE. docker-compose.yml sets
# database URLs, secrets, TRUSTED_PROXIES, HOST and SIGNING_KEYS_URL itself: containers do not start
# if .env or the environment has one of them.
"""


@dataclass(frozen=True)
class Entry:
    """One setting, as the documents show it."""

    name: str
    default: str
    description: str
    readers: tuple[str, ...]
    required: bool = False


def main() -> int:
    """Write both documents; return the exit code."""
    sections = read_sections()
    DOCUMENT.write_text(render_document(sections), encoding="utf-8")
    EXAMPLE.write_text(render_example(sections), encoding="utf-8")
    print(f"wrote {DOCUMENT.relative_to(CHECKOUT)} and {EXAMPLE.relative_to(CHECKOUT)}")
    return 0


def read_sections() -> Mapping[str, Sequence[Entry]]:
    """Return every setting that a part of the system reads, by section."""
    sections: dict[str, list[Entry]] = {_SERVICE: [], _OPERATORS: [], _WEB: [], _STACKS: []}
    web, compose = names_of_web(), _compose_entries()
    for name in dict.fromkeys(name for model in MODELS.values() for name in model.names()):
        readers = [label for label, model in MODELS.items() if name in model.names()]
        section = _OPERATORS
        if name in Settings.names():
            section = _SERVICE
        elif name in web or name == "WEB_PORT":
            section = _WEB
        elif readers == ["`./scripts/dev`"]:
            section = _STACKS
        readers += ["web/"] if name in web else []
        readers += ["docker-compose.yml"] if name in compose else []
        sections[section].append(_entry(name, tuple(readers)))
    known = {entry.name for entries in sections.values() for entry in entries}
    sections[_STACKS] += [entry for name, entry in compose.items() if name not in known]
    return sections


def names_of_web() -> set[str]:
    """Return the settings that web/ reads."""
    text = (WEB / "lib" / "environment.ts").read_text(encoding="utf-8")
    return {*re.findall(r'\b(?:setting|required)\("([A-Z_]+)"', text)}


def _entry(name: str, readers: tuple[str, ...]) -> Entry:
    models = [model for model in MODELS.values() if name in model.names()]
    described = [model for model in models if name.lower() in _descriptions(model)]
    model = (described or models)[0]
    field = model.model_fields[name.lower()]
    description = " ".join(_descriptions(model).get(name.lower(), "").split())
    required = field.is_required() or "Required in production" in description
    default = "" if required else shown(field.default).replace(" per 1 ", "/")
    return Entry(name, default or ISSUER_DEFAULTS.get(name, ""), description, readers, required)


@cache
def _descriptions(model: type[SettingsModel]) -> Mapping[str, str]:
    return model.descriptions()


def _compose_entries() -> Mapping[str, Entry]:
    text = COMPOSE.read_text(encoding="utf-8")
    described = re.findall(r"^#   ([A-Z_]+) +(.+(?:\n# {5,}.+)*)", text, re.MULTILINE)
    entries = {}
    for name, lines in described:
        default = re.search(rf"\$\{{{name}:-([^}}]*)\}}", text)
        entries[name] = Entry(
            name,
            default[1] if default else "",
            " ".join(lines.replace("\n#", " ").split()),
            ("docker-compose.yml",),
        )
    return entries


def render_document(sections: Mapping[str, Sequence[Entry]]) -> str:
    """Return docs/settings.md."""
    return "\n".join(
        [
            _INTRODUCTION,
            *(line for title, entries in sections.items() for line in _table(title, entries)),
            "## Names of earlier versions",
            "",
            "A program that reads the new setting refuses to start while the old one is set.",
            "",
            "| Old name | What to do |",
            "|---|---|",
            *(f"| `{name}` | {change.advice} |" for name, change in RENAMED.items()),
            "",
        ]
    )


def _table(title: str, entries: Sequence[Entry]) -> Iterator[str]:
    yield from (
        f"## {title}",
        "",
        "| Name | Default | What it is for | Read by |",
        "|---|---|---|---|",
    )
    for entry in entries:
        default = "required" if entry.required else entry.default and f"`{entry.default}`"
        yield (f"| `{entry.name}` | {default} | {entry.description} | {', '.join(entry.readers)} |")
    yield ""


def render_example(sections: Mapping[str, Sequence[Entry]]) -> str:
    """Return .env.example."""
    lines = [_EXAMPLE_INTRODUCTION]
    for title, entries in sections.items():
        lines += [f"# --- {title} ".ljust(_WIDTH, "-"), ""]
        lines += [_STACKS_NOTE] if title == _STACKS else []
        for entry in entries:
            text = entry.description.replace("`", "")
            lines += [
                f"# {line}" for line in textwrap.wrap(text, _WIDTH - 2, break_on_hyphens=False)
            ]
            needed = entry.required and title == _SERVICE
            lines += [f"{'' if needed else '#'}{entry.name}={entry.default}"]
        lines += [""]
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    sys.exit(main())
