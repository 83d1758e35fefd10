"""A child process that does what its order says, for test_children."""

import ctypes
import os
import signal
import sys
import time
from typing import Any

from shipway.contract.errors import Permanent, Transient
from shipway.runtime.children import Send, serve

COUNTED: list[int] = []


def work(order: dict[str, Any], send: Send) -> Any:
    match order["do"]:
        case "echo":
            sys.stdout.write("a library prints\n")
            os.write(1, b"and another\n")
            send({"stage": "half"})
            return {"you said": order["say"]}
        case "count":
            COUNTED.append(1)
            return len(COUNTED)
        case "permanent":
            raise Permanent("never")
        case "transient":
            raise Transient("not now")
        case "bug":
            raise KeyError("oops")
        case "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "deaf":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            send({"pid": os.getpid()})
            time.sleep(60)
        case "eat":
            ctypes.create_string_buffer(2_000_000_000)
    return None


if __name__ == "__main__":
    serve(work)
