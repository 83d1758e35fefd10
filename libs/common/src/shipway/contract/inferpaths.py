"""Where the Open Inference Protocol is asked: its paths, and the headers that go along."""

LENGTH_HEADER = "inference-header-content-length"
DEADLINE_HEADER = "shipway-deadline-ms"
TIMEOUT_HEADER = "x-request-timeout-ms"


def asked_model(path: str) -> tuple[str, int | None] | None:
    """The model and version that a path of the protocol asks to infer; None where it is no such path.

    ``/v2/models/{model}/infer`` or ``/v2/models/{model}/versions/{version}/infer``. The version is None where the path
    has none, and 0, which none is, where it can be none.
    """
    match path.split("/"):
        case ["", "v2", "models", model, "infer"]:
            return model, None
        case ["", "v2", "models", model, "versions", version, "infer"]:
            return model, version_of(version) or 0
    return None


def version_of(text: str) -> int | None:
    """The version that a path names; None where it can be none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None
