"""The station's machine does not call home."""

import subprocess
import sys

PROGRAM = """
import sys, threading
import station.recognition
import openvino.tools.ovc
assert sys.modules["openvino_telemetry"] is None
print(openvino.tools.ovc.telemetry_utils.tm.__name__, threading.active_count())
"""


def test_openvino_s_converter_finds_no_telemetry_to_send_by() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["openvino.tools.ovc.telemetry_stub", "1"], done.stderr
