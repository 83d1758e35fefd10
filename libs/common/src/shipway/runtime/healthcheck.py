"""``python -m shipway.runtime.healthcheck``: exit 0 when this container's service is ready. Standard library only."""

import http.client
import os
import sys

PORT_VARIABLES = ("SHIPWAY_{}__HTTP__PORT", "SHIPWAY__HTTP__PORT")


def port(environment: dict[str, str]) -> int:
    """The port that the service listens on, by the variables that the service reads."""
    package = environment.get("SHIPWAY_PACKAGE", "").upper()
    names = [name.format(package) for name in PORT_VARIABLES]
    return int(next((environment[name] for name in names if name in environment), "8080"))


def main() -> int:
    """Asks /readyz; what stands in the way goes to standard output, which Docker keeps."""
    connection = http.client.HTTPConnection("127.0.0.1", port(dict(os.environ)), timeout=2)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        sys.stdout.write(answer.read(2000).decode("utf-8", "replace") + "\n")
    except (OSError, http.client.HTTPException) as err:
        sys.stdout.write(f"no answer: {err}\n")
        return 1
    finally:
        connection.close()
    return 0 if answer.status == 200 else 1


if __name__ == "__main__":
    sys.exit(main())
