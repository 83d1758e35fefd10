"""What a bundle must be before it is loaded."""

import pytest

from shipway.contract.errors import InvalidField
from shipway.predictor.loading import check_library, library_versions

OURS = library_versions()["lightgbm"]
MAJOR, MINOR = OURS.split(".")[:2]


@pytest.mark.parametrize("trained", [OURS, f"{MAJOR}.{MINOR}.99"])
def test_another_patch_of_the_library_serves(trained: str) -> None:
    check_library({"lightgbm": trained})


@pytest.mark.parametrize("trained", [f"{MAJOR}.{int(MINOR) + 1}.0", f"{int(MAJOR) + 1}.{MINOR}.0", "4", None])
def test_a_bundle_of_another_library_is_refused_with_both_versions(trained: str | None) -> None:
    with pytest.raises(InvalidField, match="retrain") as caught:
        check_library({"lightgbm": trained} if trained else {})
    assert OURS in str(caught.value) and (trained or "unknown") in str(caught.value)
