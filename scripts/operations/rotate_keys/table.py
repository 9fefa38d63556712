"""The table of `rotate-keys status`, for terminals and, without colours, for files and pipes."""

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, TextIO

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from better_auth_keys.rotation.store import KeyState
from scripts.operations.rotate_keys.report import KeyLine, Status

_COLUMNS: Final = ("KID", "ALGORITHM", "STATE", "AGE", "OPENS", "SERVED", "KNOWN", "NEXT STEP")
_STATE_STYLES: Final = {
    KeyState.PRE_ACTIVATION: "cyan",
    KeyState.ACTIVE: "green",
    KeyState.DEACTIVATED: "dim",
    KeyState.COMPROMISED: "bold red",
}
_WRONG: Final = "bold red"
_LOOK: Final = "yellow"
# Lines are not wrapped where there is no terminal: programs read them.
_UNBOUNDED: Final = 100_000
_GAP: Final = 2
_MIN_KID: Final = 8

Row = Sequence[Text]


def open_console(stream: TextIO, environment: Mapping[str, str] = os.environ) -> Console:
    """Return a console on stdout or stderr.

    It has colours only on a terminal, and none with NO_COLOR or TERM=dumb.
    """
    terminal = stream.isatty()
    # rich keeps bold text with NO_COLOR, and takes a pipe for a terminal with FORCE_COLOR.
    coloured = terminal and not environment.get("NO_COLOR")
    return Console(
        file=stream,
        force_terminal=terminal,
        color_system="auto" if coloured else None,
        width=None if terminal else _UNBOUNDED,
        highlight=False,
        markup=False,
        emoji=False,
    )


def print_table(status: Status, console: Console, errors: Console) -> None:
    """Print the table, grouped by algorithm, and the warnings on `errors`."""
    with console.capture() as captured:
        console.print(table(status, console.width))
    # rich fills the last column with spaces.
    text = "\n".join(line.rstrip() for line in captured.get().splitlines())
    console.file.write(f"{text}\n")
    for warning in warnings(status):
        errors.print(warning, soft_wrap=True)


def table(status: Status, width: int) -> Group:
    """Return what is printed. Where it is wider than `width`, it has fewer columns."""
    rows = {
        algorithm: [_row(line, len(status.replicas)) for line in lines]
        for algorithm, lines in status.lines().items()
    }
    header = [Text(name, "bold") for name in _COLUMNS]
    return Group(*_parts(status, rows or {"": []}, header, width=width))


def warnings(status: Status) -> list[Text]:
    """Return a line for each warning."""
    return [Text(f"rotate-keys: warning: {warning}", _LOOK) for warning in status.warnings]


def _parts(
    status: Status, rows: Mapping[str, Sequence[Row]], header: Row, *, width: int
) -> Iterator[RenderableType]:
    every = [header, *(row for group in rows.values() for row in group)]
    widths = [max(row[n].cell_len for row in every) for n in range(len(header))]
    gap = _GAP
    narrow = sum(widths) + gap * (len(widths) - 1) > width
    if narrow:
        gap = 1
        del widths[1], widths[-1]
        # The first column gets what the others leave. Very narrow terminals fold kids.
        widths[0] = max(_MIN_KID, width - sum(widths[1:]) - gap * (len(widths) - 1))
    for n, (algorithm, group) in enumerate(rows.items()):
        if n > 0:
            yield Text()
        lines = group if n > 0 else [header, *group]
        if lines:
            grid = Table.grid(padding=(0, gap, 0, 0))
            for size in widths:
                grid.add_column(width=size, overflow="fold")
            for row in lines:
                grid.add_row(*(_folded(row) if narrow else row))
            yield grid
        for line in status.missing(algorithm):
            yield Text(line, _LOOK if line.endswith(" now") else "")
    for replica in status.replicas:
        line = f"replica {status.replica_line(replica)}"
        yield Text(line, "" if replica.listening else _LOOK)


def _folded(row: Row) -> Row:
    """Return a row with its algorithm and its step below the kid."""
    kid, algorithm, *others, step = row
    below = [algorithm] if step.plain == "-" else [algorithm, Text(": "), step]
    return [Text.assemble(kid, "\n", *below), *others]


def _row(line: KeyLine, replicas: int) -> Row:
    known = len(line.known_by)
    served = Text("?", _LOOK) if line.served is None else _yes(value=line.served)
    return (
        Text(line.kid),
        Text(line.algorithm),
        Text(line.state.value, _STATE_STYLES[line.state]),
        Text(line.age),
        _yes(value=line.opens),
        served,
        Text(f"{known}/{replicas}", _LOOK if known < replicas else ""),
        Text(line.next_step, "bold yellow" if line.due else ""),
    )


def _yes(*, value: bool) -> Text:
    return Text("yes") if value else Text("NO", _WRONG)
