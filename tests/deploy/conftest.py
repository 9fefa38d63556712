"""The rendered manifests of the production overlay."""

import pytest

from scripts.proofs.kubernetes.manifests import FOLDER, Manifest, render


@pytest.fixture(scope="session")
def manifests() -> list[Manifest]:
    return render(FOLDER / "production")
