"""The command `whybox-server robustness`."""

from rich.console import Console

from whybox_server.audits.commands.common import (
    Attack,
    Budget,
    Device,
    Engine,
    Folder,
    Fresh,
    LabelColumn,
    Labels,
    Limit,
    Model,
    ModelStore,
    Norm,
    RayAddress,
    Save,
    Seed,
    View,
    Where,
    Workers,
    explained,
    workers_of,
)
from whybox_server.settings import read_settings


def robustness(
    folder: Folder,
    labels: Labels = None,
    label_column: LabelColumn = None,
    where: Where = None,
    model: Model = None,
    model_store: ModelStore = None,
    norm: Norm = None,
    budget: Budget = "standard",
    attack: Attack = "",
    limit: Limit = None,
    save: Save = None,
    workers: Workers = None,
    engine: Engine = "processes",
    ray_address: RayAddress = None,
    device: Device = "cpu",
    seed: Seed = 0,
    view: View = False,
    fresh: Fresh = False,
) -> None:
    """Measure the accuracy of a model when every picture may change by up to a radius.

    Each correctly predicted picture is attacked, and the smallest change found that makes the prediction wrong counts.
    The result is empirical robust accuracy. It is an upper bound: a better attack may find smaller changes.

    [cyan]whybox-server robustness photos/[/] [dim]with photos/tabby/1.jpg, photos/281/2.jpg, …[/]

    [cyan]whybox-server robustness photos/ --labels photos.csv --budget fast --norm linf --norm l2[/]

    The command writes robustness.png (accuracy against radius), robustness.json (all numbers, also per class) and
    audit.parquet (a row per measured picture). After an interrupt the same command continues where it stopped. It gives
    up when the first five pictures all fail.
    """
    from whybox_server.audits.data.dataset import Choice
    from whybox_server.audits.passes.run import PassOptions
    from whybox_server.audits.robust_accuracy.run import measure_robust_accuracy

    out, err = Console(highlight=False), Console(stderr=True, highlight=False)
    with explained(err, fresh=fresh):
        options = PassOptions(
            folder=folder,
            model=model,
            model_store=read_settings(model_store=model_store).model_store,
            labels=labels,
            choice=Choice(label_column=label_column, where=tuple(where or ()), limit=limit, seed=seed),
            norms=tuple(norm or ()),
            budget=budget,
            attack=attack,
            save=save,
            workers=workers_of(engine, workers, ray_address),
            device=device,
            seed=seed,
            view=view,
            fresh=fresh,
        )
        measure_robust_accuracy(options, out, err)
