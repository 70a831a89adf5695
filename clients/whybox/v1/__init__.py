"""The wire contract: the messages generated from protos/whybox/v1, and the exceptions that travel in them."""

from whybox.v1.analysis_pb2 import (
    AnalyzeRequest,
    AnalyzeResponse,
    GetModelRequest,
    ListModelsRequest,
    ListModelsResponse,
    PartTiming,
    Timings,
)
from whybox.v1.bias_pb2 import Bias, BiasFlag, BiasOptions, Example
from whybox.v1.explanation_pb2 import (
    Curve,
    Explanation,
    ExplanationOptions,
    Quality,
    Region,
    Regions,
    Stability,
    Tensor,
)
from whybox.v1.model_pb2 import Digests, Method, Model, PackingCheck, Preprocessing, RandomisationTest
from whybox.v1.prediction_pb2 import ClassScore, Prediction, PredictionOptions, View
from whybox.v1.receipt_pb2 import Receipt
from whybox.v1.robustness_pb2 import Distance, Robustness, RobustnessOptions
from whybox.v1.work_pb2 import Work, WorkResult

__all__ = [
    "AnalyzeRequest",
    "AnalyzeResponse",
    "Bias",
    "BiasFlag",
    "BiasOptions",
    "ClassScore",
    "Curve",
    "Digests",
    "Distance",
    "Example",
    "Explanation",
    "ExplanationOptions",
    "GetModelRequest",
    "ListModelsRequest",
    "ListModelsResponse",
    "Method",
    "Model",
    "PackingCheck",
    "PartTiming",
    "Prediction",
    "PredictionOptions",
    "Preprocessing",
    "Quality",
    "RandomisationTest",
    "Receipt",
    "Region",
    "Regions",
    "Robustness",
    "RobustnessOptions",
    "Stability",
    "Tensor",
    "Timings",
    "View",
    "Work",
    "WorkResult",
]
