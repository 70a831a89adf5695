"""The commands `whybox-server study ...`."""

import typer

from whybox_server.studies.commands import creating, importing, planning, results, running, serving

app = typer.Typer(no_args_is_help=True, rich_markup_mode="rich", pretty_exceptions_show_locals=False)


@app.callback()
def main() -> None:
    """Ask people which of the model's answers they accept.

    A study goes through four commands, and people answer between the third and the fourth:

    [cyan]whybox-server study create photos/ --labels photos.csv --id photos[/] [dim]draws and makes what people see[/]

    [cyan]whybox-server study open study-photos/[/] [dim]freezes it[/]

    [cyan]whybox-server study invite photos --number 30[/] [dim]prints a link for each person[/]

    [cyan]whybox-server study results photos[/] [dim]rectifies the error[/]

    Try it first with --preview or --pilot: their answers never count.
    """


app.command()(planning.plan)
app.command()(creating.create)
app.command()(creating.wording)
app.command("open")(running.open_study)
app.command()(serving.serve)
app.command()(running.invite)
app.command()(running.status)
app.command()(running.close)
app.command()(running.forget)
app.command("list")(running.list_studies)
app.command()(results.results)
app.command()(results.export)
app.command("import")(importing.import_votes)
