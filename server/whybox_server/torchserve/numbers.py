"""How many workers each model gets where the settings leave it to the server.

Workers have one thread each unless a setting says otherwise: a worker decodes one picture at a time, whatever its
threads, and their number changes the last bits of an answer.
"""

from whybox_server.settings import Settings

_GIB = 2**30
# What the workers of all models may take together, as shares of the memory, and what is set aside for one.
_PREDICT_SHARE, _PREDICT_BYTES = 1 / 4, _GIB // 2
_ANALYZE_SHARE, _ANALYZE_BYTES = 1 / 2, _GIB


def filled_in(settings: Settings, models: int, cores: int, memory_bytes: int) -> Settings:
    """The settings with the numbers of workers filled in.

    Each kind has a worker for each core, divided among the models, or fewer if the memory does not hold them. Each
    model has at least one of each kind.

    Args:
        settings: Numbers that they give are kept.
        models: Number of models to serve, at least 1.
        cores: Cores that the server may use.
        memory_bytes: Memory that the server may use.
    """

    def workers(share: float, worker_bytes: int) -> int:
        held = int(share * memory_bytes / worker_bytes / models)
        wanted = -(-cores // (models * settings.worker_threads))
        return max(min(wanted, held), 1)

    chosen = {
        "predict_workers": workers(_PREDICT_SHARE, _PREDICT_BYTES),
        "analyze_workers": workers(_ANALYZE_SHARE, _ANALYZE_BYTES),
    }
    return settings.model_copy(
        update={name: number for name, number in chosen.items() if getattr(settings, name) is None}
    )
