"""Asks a server all that its OpenAPI document allows, and much that it forbids; prints what was wrong as JSON.

Runs in an environment of its own. Reads from its input: `url`, `model` (as `GET /v1/models/{model}` tells of it),
`picture` (base64; of the size of the model's view), `examples` (cases for each operation, of each kind),
`costly_examples` (for valid ones that take seconds) and `seed`.

The document leaves names of models, methods, classes and norms to the server. For valid cases it is narrowed to those
that the served model has, and to options that go together.
"""

import base64
import json
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any
from unittest import SkipTest

import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
)
# A declared refusal for the moment, or for the lack of time, is no server error.
FOR_NOW = (503, 504)
SECONDS = 60
# A valid case takes a worker seconds.
COSTLY = (":robustness", ":certify", ":analyze")
# Each needs something that not every model, method or class has: an audit, calibration, a second model, a target.
LEFT_OUT = {
    "baseline",
    "max_evaluations",
    "tolerance",
    "audit",
    "set_method",
    "set_alpha",
    "transfer",
    "examples",
    "thumbnails",
    "contrast_class",
    "contrast_label",
    "target_label",
    "baseline_image",
    "attributes",
    "attribute",
    "encodings",
    "encoding",
    "Content-Encoding",
    "Inference-Header-Content-Length",
}


def narrowed(document: Any, model: dict[str, Any]) -> Any:
    """The document, with the names that the model knows in place of free text."""
    # Those that take no options of their own need few passes.
    methods = [each["name"] for each in model["methods"] if not each["options"] and each["name"] != "examples"]
    values: dict[str, Any] = {
        "model": {"enum": [model["name"]]},
        "version": {"enum": [model["version"]]},
        "method": {"enum": methods},
        "twin": {"enum": ["saliency", "grad_cam"]},
        "attack": {"enum": [each["name"] for each in model["attacks"] if set(each["norms"]) == set(model["norms"])]},
        "budget": {"enum": ["1"]},
        "corruption": {"enum": ["fog"]},
        "target_class": {"type": "integer", "minimum": 0, "maximum": model["num_classes"] - 1},
        "top_k": {"type": "integer", "minimum": 1, "maximum": 5},
        "samples": {"type": "integer", "minimum": 100, "maximum": 110},
        "sigma": {"enum": [0.25, 1]},
        "alpha": {"enum": [0.01]},
        "timeout": {"enum": [20]},
        "quality": {"enum": ["deletion"]},
    }
    several = {
        "norms": {"enum": model["norms"]},
        "norm": {"enum": model["norms"]},
        "corruptions": {"enum": ["fog"]},
        "picture": {"enum": ["adversarial", "change"]},
    }

    def value(name: str, schema: Any) -> Any:
        if name in several:
            return {"type": "array", "items": several[name], "minItems": 1, "maxItems": 1}
        if name in values and schema.get("type") == "array":
            return schema | {"items": values[name], "minItems": 1, "maxItems": 1}
        return values.get(name) or walk(schema)

    def walk(node: Any) -> Any:
        if isinstance(node, list):
            kept = [each for each in node if not (isinstance(each, dict) and each.get("name") in LEFT_OUT)]
            return [
                each
                | {"schema": value(each["name"], each["schema"])}
                | ({"required": True} if each["name"] in ("method", "sigma") else {})
                if isinstance(each, dict) and "in" in each and "schema" in each
                else walk(each)
                for each in kept
            ]
        if not isinstance(node, dict):
            return node
        changed = {name: walk(below) for name, below in node.items() if name != "properties"}
        if "properties" in node:
            known = node["properties"]
            changed["properties"] = {name: value(name, below) for name, below in known.items() if name not in LEFT_OUT}
            needed = {"method", "sigma"} & set(known)
            changed["required"] = [*node.get("required", ()), *needed]
        return changed

    found = document | {"components": dict(document["components"])}
    answers = dict(found["components"]["schemas"])
    asked = {name for name in answers if name.endswith(("Options", "Request"))}
    found["paths"] = {
        path: {
            method: {name: below if name == "responses" else walk(below) for name, below in operation.items()}
            for method, operation in operations.items()
        }
        for path, operations in found["paths"].items()
        if "{audit}" not in path
    }
    found["components"]["schemas"] = answers | {name: walk(answers[name]) for name in asked}
    return found


def with_picture(case: Any, picture: bytes) -> None:
    """Puts a whole picture into a case, and gives its options once."""
    if case.operation.method.upper() != "POST":
        return
    text = base64.b64encode(picture).decode()
    if case.operation.path.startswith("/v2"):
        case.media_type = "application/json"
        case.body = {"inputs": [{"name": "image", "shape": [1], "datatype": "BYTES", "data": [text]}]}
    elif isinstance(case.body, dict):
        case.query = {}
        case.body["image"] = text if case.media_type == "application/json" else picture
    else:
        case.body = picture


class Run:
    """What the server answered.

    Attributes:
        found: Statuses of `valid` and of `invalid` cases by operation; valid cases that were `refused`, with what was
            told; and every breach of the document (`wrong`).
    """

    def __init__(self, asked: dict[str, Any]) -> None:
        self._asked = asked
        self._picture = base64.b64decode(asked["picture"])
        self.found: dict[str, Any] = {"valid": {}, "invalid": {}, "refused": [], "wrong": []}
        document = schemathesis.openapi.from_url(asked["url"] + "/openapi.json").raw_schema
        self._all("valid", GenerationMode.POSITIVE, narrowed(document, asked["model"]))
        self._all("invalid", GenerationMode.NEGATIVE, document)

    def _all(self, kind: str, mode: GenerationMode, document: Any) -> None:
        schema = schemathesis.openapi.from_dict(document)
        schema.config.update(base_url=self._asked["url"])
        for each in schema.get_all_operations():
            operation = each.ok()
            costly = kind == "valid" and operation.path.endswith(COSTLY)
            bounded = settings(
                max_examples=self._asked["costly_examples" if costly else "examples"],
                database=None,
                deadline=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            statuses: Counter[int] = Counter()
            ask = self._asking(kind, statuses)
            try:
                seed(self._asked["seed"])(bounded(given(operation.as_strategy(generation_mode=mode))(ask)))()
            except (Unsatisfiable, SkipTest):
                # No case of an operation without parameters is invalid.
                if kind == "valid":
                    raise
            self.found[kind][operation.label] = dict(statuses)

    def _asking(self, kind: str, statuses: Counter[int]) -> Callable[[Any], None]:
        def ask(case: Any) -> None:
            if kind == "valid":
                with_picture(case, self._picture)
            elif "model" in (case.path_parameters or ()):
                # What is wrong with the rest of a case shows only for a model that is there.
                case.path_parameters["model"] = self._asked["model"]["name"]
            answer = case.call(timeout=SECONDS)
            statuses[answer.status_code] += 1
            told = [case.operation.label, case.media_type, answer.status_code, answer.text[:300]]
            if kind == "valid" and answer.status_code >= 400:
                self.found["refused"].append(told)
            checks = [each for each in CHECKS if each is not not_a_server_error or answer.status_code not in FOR_NOW]
            try:
                case.validate_response(answer, checks=checks)
            except (BaseExceptionGroup, AssertionError) as wrong:
                self.found["wrong"].append([str(getattr(wrong, "exceptions", wrong))[:600], *told])

        return ask


if __name__ == "__main__":
    print(json.dumps(Run(json.load(sys.stdin)).found))  # noqa: T201 (for the test that starts it)
