"""The verbs and where they live."""

import typer

from pdefm.cli import (
    card,
    check,
    compare,
    convert,
    data,
    demo,
    evaluate,
    finetune,
    list_models,
    pretrain,
    publish,
    quickstart,
    report,
    rollout,
    runs,
)

app = typer.Typer(
    name="pdefm",
    help="Foundation models for partial differential equations: pretrain, publish, fine-tune.",
    epilog="--debug with any verb shows the traceback of an error.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _root() -> None:
    """Foundation models for partial differential equations: pretrain, publish, fine-tune."""


app.command("quickstart")(quickstart.quickstart)
app.add_typer(data.app, name="data")
app.command("check")(check.check)
app.command("pretrain")(pretrain.pretrain)
app.command("runs")(runs.runs)
app.command("finetune")(finetune.finetune)
app.command("evaluate")(evaluate.evaluate)
app.command("compare")(compare.compare)
app.command("rollout")(rollout.rollout)
app.command("report")(report.report)
app.command("demo")(demo.demo)
app.command("convert")(convert.convert)
app.command("publish")(publish.publish)
app.command("card")(card.card)
app.command("list")(list_models.list_models)
