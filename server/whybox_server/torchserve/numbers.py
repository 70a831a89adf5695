"""How many workers each model gets where the settings leave it to the server.

Workers have one thread each unless a setting says otherwise: a worker decodes one picture at a time, whatever its
threads, and their number changes the last bits of an answer.

Measured with EfficientNet-Lite0 on two cores that other programs shared, five rounds in turn of 64 predictions by 16
callers, medians. "Processor" is the time for an answer of all processes, the callers included; the same decoding and
network in a process for each core take 10.3 ms.

| workers x threads | largest batch | delay | answers/s | processor | alone |
| --- | --- | --- | --- | --- | --- |
| 2 x 1 | 8 | 1 ms | 46 | 15.5 ms | 22 ms |
| 2 x 1 | 1 | 1 ms | 46 | 19.8 ms | 26 ms |
| 2 x 1 | 8 | 5 ms | 54 | 15.6 ms | 29 ms |
| 1 x 2 | 8 | 1 ms | 14 | 43.7 ms | 88 ms |

Answers/s swung from 35 to 96 with what else ran, so they decide nothing among the first three. Batches fill: they save
a fifth of the processor's time. A prediction alone waits for the delay, which saves nothing when it is longer. With two
threads in a worker an answer takes about three times the processor's time.
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
