"""Looks in, labels out. Importing it keeps OpenVINO from reporting home.

OpenVINO's converter sends usage statistics unless its telemetry package is missing, and leaves threads behind; a
machine controller does neither. A module entry of None is what a missing package looks like to `import`.
"""

import sys

sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
