"""The core between the transports and the backend: validate, admit, fan out, assemble."""

from collections.abc import AsyncIterator

from whybox import v1


class Gateway:
    """Answers requests; knows nothing of HTTP or gRPC."""

    async def analyze(self, request: v1.AnalyzeRequest, *, request_id: str, timeout: float) -> v1.AnalyzeResponse:
        """All parts in one answer.

        Args:
            request: As it came; it is validated here.
            request_id: Id of the call.
            timeout: Seconds that the caller will wait.

        Raises:
            WhyboxError: The request is wrong, or no part could be answered.
        """
        raise NotImplementedError

    def stream(
        self, request: v1.AnalyzeRequest, *, request_id: str, timeout: float
    ) -> AsyncIterator[v1.AnalyzeResponse]:
        """The parts one by one as they are ready, the prediction first."""
        raise NotImplementedError

    def list_models(self) -> list[v1.Model]:
        """The served models without their labels, by name."""
        raise NotImplementedError

    def get_model(self, name: str, version: str = "") -> v1.Model:
        """One model with its labels.

        Raises:
            NotFoundError: There is no such model or version.
        """
        raise NotImplementedError

    def readiness(self) -> dict[str, dict[str, str]]:
        """State of each worker pool, by model and pool; "ready" or what it waits for."""
        raise NotImplementedError
