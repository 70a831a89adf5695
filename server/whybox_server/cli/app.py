"""The `whybox-server` command."""

import asyncio
import logging
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

import typer
from rich.console import Console
from rich.logging import RichHandler
from rich.status import Status
from typer.core import TyperGroup

from whybox import v1
from whybox_server.access.cli import app as keys
from whybox_server.audits.commands.audit import audit
from whybox_server.audits.commands.findings import audit_compare, audit_note
from whybox_server.audits.commands.robustness import robustness
from whybox_server.settings import Settings, SettingsError, read_settings, variable
from whybox_server.studies.cli import app as study
from whybox_server.validation.archives import ArchiveError

if TYPE_CHECKING:
    from whybox_server.packing.pack import Packed


class _Commands(TyperGroup):
    """Commands whose names may be two words, beside a command that is the first word alone."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """See click, which some versions of typer carry themselves."""
        both = " ".join(args[:2])
        return super().resolve_command(ctx, [both, *args[2:]] if both in self.commands else args)


app = typer.Typer(cls=_Commands, no_args_is_help=True, rich_markup_mode="rich", pretty_exceptions_show_locals=False)
_out = Console(highlight=False)
_err = Console(stderr=True, highlight=False)

_SETTINGS_HELP = "Environment variables set everything else; the options above override them:\n\n" + "\n\n".join(
    f"[cyan]{variable(name)}[/] [dim](default {field.default})[/]: {field.description}"
    for name, field in Settings.model_fields.items()
)


@app.callback()
def main() -> None:
    """Serve image classifiers and return the evidence with every answer.

    Pack a model first, then serve it:

    [cyan]whybox-server pack model_store/efficientnet-lite0.yaml[/]

    [cyan]whybox-server serve[/]

    Packing builds the archive of a model and checks it. Serving answers requests over REST and gRPC.
    """


@app.command()
def pack(
    specs: Annotated[
        list[Path],
        typer.Argument(help="Model specs: YAML files such as model_store/efficientnet-lite0.yaml.", metavar="SPEC..."),
    ],
    store: Annotated[
        Path | None, typer.Option(help="Folder for the archives. Default: the folder of the spec.")
    ] = None,
    checks: Annotated[
        Literal["all", "export"],
        typer.Option(
            help="Checks to make. 'export' compares the export and the maps only, which is quicker for large networks; "
            "GetModel then says that neither the methods nor the attacks were tested."
        ),
    ] = "all",
    bank: Annotated[
        Path | None,
        typer.Option(
            help="Folder that whybox-server audit wrote. Callers of the server see what it found, audit.html, and"
            " thumbnails, unless it was made with --no-thumbnails. Default: what the archive that is there has.",
            metavar="AUDIT",
        ),
    ] = None,
    no_thumbnails: Annotated[
        bool,
        typer.Option(
            "--no-thumbnails",
            help="Leave out the thumbnails of the method example; those of audit.html stay.",
        ),
    ] = False,
    no_bank: Annotated[bool, typer.Option("--no-bank", help="Leave out the findings and files of any audit.")] = False,
    allow_stale: Annotated[
        bool,
        typer.Option(
            "--allow-stale",
            help="Take the findings of an audit of other weights or another preprocessing too; the server calls them"
            " stale.",
        ),
    ] = False,
) -> None:
    """Build the archive of each model spec.

    Packing exports the network to ONNX and compares it with torch on real pictures. It refuses the model if a logit
    differs by more than 1e-4 of the largest logit or if the five best classes differ. An archive that is up to date is
    not built again. If only the bank changes, no check is repeated. Without a terminal each step is a line on standard
    error.

    Methods and attacks are tested side by side on all cores; OMP_NUM_THREADS sets their number. Networks above 1e9
    multiply-adds are tested with fewer pictures and evaluations, which GetModel tells.
    """
    # Imported here: the serving process must not load torch.
    from whybox_server.audits.bank import read_bank, read_files
    from whybox_server.audits.data.errors import DataSetError
    from whybox_server.audits.references import write_references
    from whybox_server.packing.pack import PackError, SpecError, pack_model

    if no_bank and bank is not None:
        _fail("--bank and --no-bank exclude each other")
    if no_thumbnails and bank is None:
        _fail("--no-thumbnails needs --bank")
    findings: v1.Bank | Literal["kept", "none"] = "none" if no_bank else "kept"
    with tempfile.TemporaryDirectory(prefix="whybox-bank-") as temporary:
        references, files = None, {}
        if bank is not None:
            try:
                findings = read_bank(bank)
                files = read_files(bank, findings.audit)
                # An audit whose page shows no thumbnails was told to make none.
                shown = not no_thumbnails and any(file.thumbnails for file in findings.audit.files)
                written = write_references(bank, Path(temporary), thumbnails=shown)
            except DataSetError as error:
                _fail(error)
            if written is not None:
                findings.audit.references.CopyFrom(written)
                references = Path(temporary)
        for spec in specs:
            with _out.status(spec.stem) as status:
                try:
                    packed = pack_model(
                        spec,
                        store or spec.parent,
                        partial(_report, status, spec.stem),
                        checks,
                        findings,
                        allow_stale=allow_stale,
                        audit_files=files,
                        references=references,
                    )
                except (SpecError, PackError) as error:
                    _fail(error)
            _out.print(_outcome(packed), markup=False, soft_wrap=True)


def _outcome(packed: "Packed") -> str:
    """What became of a pack, in a line."""
    check = packed.model.packing_check
    if packed.fresh:
        outcome = (
            f"packed {packed.archive}: ONNX Runtime agrees with torch on {check.pictures} pictures"
            f" (logits to {check.max_logit_difference:.1e})"
        )
    else:
        outcome = f"{packed.archive} is up to date"
    if packed.model.HasField("audit"):
        audit = packed.model.audit
        stale = f", stale: other {' and '.join(audit.differences)}" if audit.differences else ""
        outcome += f"; with audit {audit.id} of {audit.data_set} ({audit.pictures} pictures{stale})"
        shown = {"audit.html": sum(file.thumbnails for file in audit.files), "example": audit.references.thumbnails}
        if any(shown.values()):
            told = " and ".join(f"{number} in {where}" for where, number in shown.items() if number)
            outcome += (
                f"; callers see thumbnails of its pictures, {told}: whybox-server audit --no-thumbnails leaves them out"
            )
    return outcome


@app.command(epilog=_SETTINGS_HELP)
def serve(
    model_store: Annotated[
        Path | None, typer.Option(help="Folder with the packed models. Default: WHYBOX_MODEL_STORE, or model_store.")
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(help="Name of a model to serve; repeatable. Default: WHYBOX_MODELS, or every packed model."),
    ] = None,
    rest_host: Annotated[
        str | None,
        typer.Option(
            help="Address for REST; :: takes IPv6 and IPv4 from everywhere. Default: WHYBOX_REST_HOST, or 127.0.0.1."
        ),
    ] = None,
    rest_port: Annotated[
        int | None, typer.Option(help="Port for REST; 0 takes a free port. Default: WHYBOX_REST_PORT, or 8000.")
    ] = None,
    grpc_host: Annotated[
        str | None,
        typer.Option(
            help="Address for gRPC; :: takes IPv6 and IPv4 from everywhere. Default: WHYBOX_GRPC_HOST, or 127.0.0.1."
        ),
    ] = None,
    grpc_port: Annotated[
        int | None, typer.Option(help="Port for gRPC; 0 takes a free port. Default: WHYBOX_GRPC_PORT, or 8001.")
    ] = None,
    log_dir: Annotated[
        Path | None,
        typer.Option(help="Folder for the logs of TorchServe and its workers. Default: WHYBOX_LOG_DIR, or logs."),
    ] = None,
    insecure: Annotated[
        bool | None,
        typer.Option(
            "--insecure",
            help="Serve other machines without keys, open to everybody, or without TLS. Default: WHYBOX_INSECURE, or"
            " not.",
        ),
    ] = None,
) -> None:
    """Serve packed models over REST and gRPC until Ctrl-C.

    With WHYBOX_KEY_FILE every caller needs a key (whybox-server keys add). Without it the server is open, except for
    the API of studies. With WHYBOX_TLS_CERTIFICATE and WHYBOX_TLS_KEY, both transports speak TLS. The server listens on
    loopback alone unless it has both keys and TLS.
    """
    from whybox_server.cli.serving import Addresses, ServeError, serve_until_stopped

    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[_log_handler()])
    try:
        settings = read_settings(
            model_store=model_store,
            models=model,
            rest_host=rest_host,
            rest_port=rest_port,
            grpc_host=grpc_host,
            grpc_port=grpc_port,
            log_dir=log_dir,
            insecure=insecure,
        )
    except SettingsError as error:
        _fail(error)

    def listening(addresses: Addresses) -> None:
        print(f"REST on {addresses.rest} (try {addresses.rest}/docs)", flush=True)  # noqa: T201
        print(f"gRPC on {addresses.grpc}", flush=True)  # noqa: T201
        print(f"logs in {settings.log_dir.resolve()}", flush=True)  # noqa: T201

    def ready(seconds: float) -> None:
        print(f"ready after {seconds:.1f} s; Ctrl-C stops", flush=True)  # noqa: T201

    try:
        asyncio.run(serve_until_stopped(settings, listening, ready))
    except (ArchiveError, ServeError) as error:
        _fail(error)


@app.command()
def reload(
    log_dir: Annotated[
        Path | None,
        typer.Option(help="The server's folder for logs, by which it is found. Default: WHYBOX_LOG_DIR, or logs."),
    ] = None,
) -> None:
    """Have the running server serve what its model store holds now, without downtime.

    The server starts a second TorchServe with the models and versions that are in the store, and with the weights of
    WHYBOX_TRAFFIC=@FILE. When all can answer, new requests go to them; those in flight end on the old ones. If they do
    not get ready, the server goes on as before, and this command fails with the reason. SIGHUP does the same.

    Other settings hold until a restart. Keys and certificates need no reload. Until the old ones have ended, both take
    memory.
    """
    from whybox_server.cli.notes import ReloadError
    from whybox_server.cli.notes import reload as reload_server

    try:
        folder = read_settings(log_dir=log_dir).log_dir
        with _out.status("reloading"):
            pid = reload_server(folder)
    except (ReloadError, SettingsError) as error:
        _fail(error)
    _out.print(f"process {pid} serves what its store holds now")


app.command()(audit)
app.command("audit compare")(audit_compare)
app.command("audit note")(audit_note)
app.command()(robustness)
app.add_typer(study, name="study")
app.add_typer(keys, name="keys")


@app.command()
def demo(
    model_store: Annotated[Path, typer.Option(help="Folder with the model specs.")] = Path("model_store"),
    save: Annotated[
        Path, typer.Option(help="Folder for the pictures of the answer: heat maps and a contact sheet.")
    ] = Path("whybox-demo"),
) -> None:
    """Show the first steps: pack the default model, serve it, and analyse a real picture over REST and over gRPC.

    The demo prints each command before it runs it, and stops the server at the end.
    """
    from whybox_server.cli.demo import DemoError, run_demo

    try:
        run_demo(model_store, save, lambda line: _out.print(line, style="bold cyan", markup=False, soft_wrap=True))
    except DemoError as error:
        _fail(error)


def _log_handler() -> logging.Handler:
    """A handler with colours on a terminal; otherwise one with a line per record, for programs that collect logs."""
    if _err.is_terminal:
        return RichHandler(console=_err, show_path=False, log_time_format="%X")
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    return handler


def _report(status: Status, name: str, what: str) -> None:
    if _out.is_terminal:
        status.update(f"{name}: {what}")
    else:
        # A spinner shows nothing there.
        _err.print(f"{name}: {what}", markup=False, soft_wrap=True)


def _fail(error: object) -> NoReturn:
    _err.print(f"error: {error}", style="red", markup=False, soft_wrap=True)
    raise typer.Exit(1)
