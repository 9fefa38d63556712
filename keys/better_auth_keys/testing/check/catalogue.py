"""All rows, in their order: what changes the issuer comes last."""

from typing import Final

from better_auth_keys.testing.check.row import Row
from better_auth_keys.testing.check.rows import (
    claims,
    encodings,
    key_sets,
    outages,
    requests,
    signatures,
)

GOOD_TOKEN: Final = requests.GOOD_TOKEN
ROWS: Final[tuple[Row, ...]] = (
    GOOD_TOKEN,
    *requests.ROWS,
    *signatures.ROWS,
    *encodings.ROWS,
    *claims.ROWS,
    *key_sets.ROWS,
    *outages.ROWS,
)
