"""A judging process that dies, for test_judge."""

import os
import signal

os.kill(os.getpid(), signal.SIGSEGV)
