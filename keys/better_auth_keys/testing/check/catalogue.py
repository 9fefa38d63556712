"""All rows, in their order."""

from typing import Final

from better_auth_keys.testing.check.row import Row
from better_auth_keys.testing.check.rows import (
    claims,
    encodings,
    key_sets,
    outages,
    proofs,
    requests,
    signatures,
)

GOOD_TOKEN: Final = requests.GOOD_TOKEN
ROWS: Final[tuple[Row, ...]] = (
    GOOD_TOKEN,
    # Before any token of an unknown key: many servers ask the issuer once for such, and then wait.
    key_sets.NEW_KEY,
    *requests.ROWS,
    *signatures.ROWS,
    *encodings.ROWS,
    *claims.ROWS,
    *proofs.ROWS,
    *outages.ROWS,
    *key_sets.ROWS,
)
