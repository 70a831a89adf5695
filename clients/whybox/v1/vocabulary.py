"""Names and bounds of the contract that the messages carry as plain strings and numbers; each stands here once."""

from typing import Final

TIMEOUT_KEY = "x-whybox-timeout"
"""Metadata of a gRPC call: seconds that the caller waits, where its own deadline allows for the way as well."""

COMPRESSION_KEY = "x-whybox-compression"
"""Metadata of a gRPC call: "gzip" or "deflate" asks for answers compressed like this; gRPC itself has no way to ask."""

RESPONSE_BYTES_KEY = "x-whybox-max-response-bytes"
"""Metadata of a gRPC call: the largest message that the caller takes, in bytes."""

DEFAULT_RESPONSE_BYTES = 4_000_000
"""The largest message that a gRPC caller takes unless it says otherwise. gRPC's default limit is 4 MiB, 4,194,304."""

BASELINES = ("black", "grey", "blur", "mean")
"""`ExplanationOptions.baseline`."""

NUMBERS = ("uint8", "float16", "float32")
"""`ExplanationOptions.encodings` that carry a map's values; the first is the default."""

MAP_PICTURES = ("heat_map", "overlay", "regions")
"""`ExplanationOptions.encodings` that carry pictures of a map."""

ENCODINGS = NUMBERS + MAP_PICTURES

CHANNELS = ("sum", "none")
"""`ExplanationOptions.channels`; the first is the default."""

MEASUREMENTS = ("deletion", "insertion", "infidelity", "sensitivity", "stability")
"""`ExplanationOptions.quality`."""

CURVE_STEPS = 20
"""Equal steps of a deletion or insertion curve; it has one point more."""

DEFAULT_METHOD = "grad_cam"
"""The method that explains where a caller of the REST interface or of the Python client names none."""

MAX_EXAMPLES = 20
"""`ExplanationOptions.examples`."""

CHANGE_PICTURES = ("adversarial", "change")
"""`RobustnessOptions.encodings`."""

BUDGETS = {"fast": 8, "standard": 12, "thorough": 100}
"""Gradient evaluations per norm, by `RobustnessOptions.budget`."""

DEFAULT_BUDGET = "standard"

DEADLINE: Final = "deadline"
"""As `RobustnessOptions.budget`: what the time of the call allows. As `stopped_by`: the deadline ended the work."""

MAX_BUDGET = 1000
"""Gradient evaluations per norm."""

ALL = "all"
"""Alone in a list of names: all there are (`ExplanationOptions.quality`, `RobustnessOptions.corruptions`)."""

SET_METHODS = ("aps", "lac")
"""`PredictionOptions.set_method`."""

DEFAULT_SET_ALPHA = 0.1
"""`PredictionOptions.set_alpha`."""

MAX_SET_ALPHA = 0.5
"""The largest `PredictionOptions.set_alpha`."""

RUNNING, CERTIFIED, ABSTAINED = "running", "certified", "abstained"
"""`Certified.state`."""

AUDIT_FORMATS = {"json": "application/json", "html": "text/html"}
"""Media types of the files of an audit, by `AuditFile.format`; the first is the default."""
